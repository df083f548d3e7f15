-- What each server last said of itself, and what is done when one ends by itself.
local M = {}

local RESTARTS, WITHIN_S = 4, 180

local heard = {} -- client id -> the params of starcoder/status
local crashes = {} -- when, in seconds
local paused = {} -- what the user switched off, as the tree of `inline_completion`
local note = nil -- what is true while no server runs

function M.heard(client_id, status)
  heard[client_id], note = status, nil
  vim.cmd.redrawstatus()
end

--- A new server knows nothing of what was paused before.
function M.started(client)
  note = "starting"
  if next(paused) then
    client:notify("workspace/didChangeConfiguration", { settings = { starcoder = { inline_completion = paused } } })
  end
end

--- Start it anew, unless Neovim is leaving, it was stopped on purpose, or it keeps ending.
function M.exited(code, signal, client_id)
  heard[client_id] = nil
  local is_wanted = code == 0 and signal == 0
  if is_wanted or vim.v.exiting ~= vim.NIL then
    note = "stopped"
    return
  end
  local now = vim.uv.now() / 1000
  crashes = vim.tbl_filter(function(at)
    return now - at < WITHIN_S
  end, crashes)
  table.insert(crashes, now)
  vim.schedule(function()
    if #crashes > RESTARTS then
      note = "stopped"
      vim.notify("StarCoder: the server ended " .. #crashes .. " times; it is not started again. See :checkhealth starcoder", vim.log.levels.ERROR)
    else
      note = "restarting"
      vim.notify(("StarCoder: the server ended (code %d, signal %d) and is started again"):format(code, signal), vim.log.levels.WARN)
      M.enable()
    end
    vim.cmd.redrawstatus()
  end)
end

--- Attach to every open buffer again.
function M.enable()
  vim.lsp.enable(require("starcoder").NAME)
end

--- Stop the servers, and start one when they have ended.
function M.restart()
  local name = require("starcoder").NAME
  crashes = {}
  local old = vim.lsp.get_clients({ name = name })
  vim.lsp.enable(name, false)
  local tries = 0
  local function again()
    tries = tries + 1
    local is_over = vim.iter(old):all(function(client)
      return client:is_stopped()
    end)
    if is_over then
      note = "restarting"
      M.enable()
    elseif tries > 50 then
      vim.iter(old):each(function(client)
        client:stop(true)
      end)
      tries = 0
      vim.defer_fn(again, 100)
    else
      vim.defer_fn(again, 100)
    end
  end
  again()
end

--- Switch suggestions off or on: everywhere, or for one language.
function M.pause(is_paused, language)
  if language then
    local others = vim.tbl_filter(function(one)
      return one ~= language
    end, paused.excluded_languages or {})
    if is_paused then
      table.insert(others, language)
    end
    paused.excluded_languages = others
  else
    paused.enabled = not is_paused
  end
  for _, client in ipairs(vim.lsp.get_clients({ name = require("starcoder").NAME })) do
    client:notify("workspace/didChangeConfiguration", { settings = { starcoder = { inline_completion = paused } } })
  end
  vim.cmd.redrawstatus()
end

--- The status of a buffer's server, or nil.
function M.of(buffer)
  local client = require("starcoder").client(buffer)
  return client and heard[client.id]
end

function M.line()
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
  elseif vim.list_contains(paused.excluded_languages or {}, vim.bo.filetype) then
    return "StarCoder: not in " .. vim.bo.filetype
  end
  local said = { vim.fs.basename(status.model), status.device }
  for _, adapter in ipairs(status.adapters or {}) do
    table.insert(said, adapter.name)
  end
  return table.concat(said, " · ") .. (status.phase == "working" and " …" or "")
end

return M
