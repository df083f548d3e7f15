-- The last status of each server, restarts after a crash, and pausing suggestions.
local M = {}

local message = require("starcoder.message").show

local MAX_CRASHES, CRASH_WINDOW_S = 4, 180

local status_by_client = {} -- client id -> the params of its last starcoder/status
local crash_times_s = {}
local paused = {} -- what the user has paused, in the shape of the settings `inline_completion`
local note = nil -- shown in the status line while no server has reported a status
local download = nil -- how much of a model is downloaded, from 0 to 1
local missing_program = nil -- what the user was notified of

--- The program of the server if there is no such program, else nil.
function M.missing_program()
  local command = (vim.lsp.config[require("starcoder").NAME] or {}).cmd
  return type(command) == "table" and vim.fn.executable(command[1]) == 0 and command[1] or nil
end

--- Notify the user once if the program of the server is missing: Neovim then starts nothing and writes that to its log only.
function M.check_program()
  local program = vim.lsp.is_enabled(require("starcoder").NAME) and M.missing_program()
  if program and program ~= missing_program then
    note = "not installed"
    message(("there is no program %s. See :checkhealth starcoder"):format(program), vim.log.levels.ERROR)
    vim.cmd.redrawstatus()
  end
  missing_program = program
end

--- Whether the model can answer; it is "working" during every generation.
local function is_loaded(status)
  return status.phase == "ready" or status.phase == "working"
end

--- Handle a starcoder/status notification. Each error of the settings file is shown once.
function M.on_status(client_id, status)
  local old = status_by_client[client_id]
  status_by_client[client_id], note = status, nil
  if status.settingsFile and not (old and old.settingsFile and old.message == status.message) then
    message(("%s\n:Starcoder settings opens the file."):format(status.message), vim.log.levels.ERROR)
  end
  vim.cmd.redrawstatus()
  if old and not is_loaded(old) and is_loaded(status) then
    require("starcoder.candidates").request_when_ready(client_id)
  end
end

--- Handle the start of a server: send it what the user paused before.
function M.on_start(client)
  note = "starting"
  require("starcoder.candidates").observe(client)
  if next(paused) then
    client:notify("workspace/didChangeConfiguration", { settings = { starcoder = { inline_completion = paused } } })
  end
end

--- Handle the exit of a server: start a new one, unless Neovim is exiting, the server was stopped or it has crashed too often.
function M.on_exit(code, signal, client_id)
  status_by_client[client_id] = nil
  local is_stopped = code == 0 and signal == 0
  if is_stopped or vim.v.exiting ~= vim.NIL then
    note = "stopped"
    return
  end
  local now_s = vim.uv.now() / 1000
  crash_times_s = vim.tbl_filter(function(time_s)
    return now_s - time_s < CRASH_WINDOW_S
  end, crash_times_s)
  table.insert(crash_times_s, now_s)
  local of_neovim = ("Client starcoder_ls quit with exit code 000 and signal 00. Check log for errors: " .. vim.lsp.log.get_filename())
  vim.schedule(function()
    if #crash_times_s > MAX_CRASHES then
      note = "stopped"
      message(("the server ended unexpectedly %d times and is not started again. See :checkhealth starcoder"):format(#crash_times_s), vim.log.levels.ERROR, of_neovim)
    else
      note = "restarting"
      message(("the server ended unexpectedly (code %d, signal %d) and is started again"):format(code, signal), vim.log.levels.WARN, of_neovim)
      M.enable()
    end
    vim.cmd.redrawstatus()
  end)
end

--- Enable the server for every open buffer.
function M.enable()
  vim.lsp.enable(require("starcoder").NAME)
end

--- Stop all servers; start a new one when they have exited.
function M.restart()
  local name = require("starcoder").NAME
  crash_times_s = {}
  local old = vim.lsp.get_clients({ name = name })
  vim.lsp.enable(name, false)
  local tries = 0
  local function start_when_stopped()
    tries = tries + 1
    local are_stopped = vim.iter(old):all(function(client)
      return client:is_stopped()
    end)
    if are_stopped then
      note = "restarting"
      missing_program = nil
      M.enable()
      M.check_program()
    elseif tries > 50 then
      vim.iter(old):each(function(client)
        client:stop(true)
      end)
      tries = 0
      vim.defer_fn(start_when_stopped, 100)
    else
      vim.defer_fn(start_when_stopped, 100)
    end
  end
  start_when_stopped()
end

--- Pause or resume suggestions, everywhere or for one language.
function M.pause(is_paused, language)
  if language then
    local others = vim.tbl_filter(function(other)
      return other ~= language
    end, paused.paused_languages or {})
    if is_paused then
      table.insert(others, language)
    end
    paused.paused_languages = others
  else
    paused.enabled = not is_paused
  end
  for _, client in ipairs(vim.lsp.get_clients({ name = require("starcoder").NAME })) do
    client:notify("workspace/didChangeConfiguration", { settings = { starcoder = { inline_completion = paused } } })
  end
  vim.cmd.redrawstatus()
end

--- The last status of the server of `buffer`, or nil.
function M.of(buffer)
  local client = require("starcoder").client(buffer)
  return client and status_by_client[client.id]
end

--- Show in the status line how much of a model is downloaded, from 0 to 1, or nil at the end.
function M.set_download(fraction)
  download = fraction
  vim.cmd.redrawstatus()
end

--- The text of the status line.
function M.line()
  if download then
    return ("StarCoder: downloading %d %%"):format(math.floor(download * 100))
  end
  local status = M.of(0)
  if not status then
    return note and "StarCoder: " .. note or ""
  end
  if status.phase == "loading" then
    return ("StarCoder: loading %d %%"):format(math.floor(status.progress * 100 + 0.5))
  elseif status.phase == "failed" or status.phase == "closed" then
    return "StarCoder: " .. status.phase
  elseif paused.enabled == false then
    return "StarCoder: paused"
  elseif vim.list_contains(paused.paused_languages or {}, vim.bo.filetype) then
    return "StarCoder: not in " .. vim.bo.filetype
  end
  local parts = { vim.fs.basename(status.model), status.device }
  for _, adapter in ipairs(status.adapters or {}) do
    table.insert(parts, adapter.name)
  end
  return table.concat(parts, " · ") .. (status.phase == "working" and " …" or "")
end

return M
