-- Choosing a model: shows the list of `starcoder-ls setup` through vim.ui.select, asks before anything is downloaded or written, and
-- restarts the server.
local M = {}

local COLUMNS = "download, memory, quantization, a token, licence"

local running = nil -- the process that downloads a model

local function notify(text, level)
  require("starcoder.message").show(text, level)
end

local function notify_error(text)
  notify(text, vim.log.levels.ERROR)
end

local function size(bytes)
  return bytes >= 1e8 and ("%.1f GB"):format(bytes / 1e9) or ("%.0f MB"):format(bytes / 1e6)
end

--- The command `setup` with the program and the settings file of the server. Notifies the user and returns nil if the configuration
--- names a model: the settings could not change that one.
local function setup_command()
  local config = vim.lsp.config[require("starcoder").NAME] or {}
  if type(config.cmd) ~= "table" then
    return notify_error("the server is started by a function in your configuration. Run `starcoder-ls setup` in a terminal.")
  elseif vim.tbl_get(config, "init_options", "model", "name") then
    return notify_error("your configuration names a model (init_options), so that no other can be chosen. Remove it there.")
  end
  local command, options, is_option = {}, {}, false
  for index, word in ipairs(config.cmd) do
    if word == "serve" and index > 1 and not is_option then
      is_option = true
    elseif not is_option then
      table.insert(command, word)
    elseif word == "-m" or word == "--model" or word:find("^%-%-model=") then
      return notify_error("your configuration names a model (cmd), so that no other can be chosen. Remove it there.")
    elseif word:find("^%-%-settings=") then
      table.insert(options, word)
    elseif word == "--settings" then
      vim.list_extend(options, { word, config.cmd[index + 1] })
    end
  end
  return vim.list_extend(vim.list_extend(command, { "setup" }), options), config.cmd_env
end

--- The last line of what a process wrote to its standard error.
local function error_of(result)
  local lines = vim.split(vim.trim(result.stderr or ""), "\n", { plain = true })
  return lines[#lines] ~= "" and lines[#lines] or ("starcoder-ls setup ended with exit code %d"):format(result.code)
end

--- Run `setup` with `arguments`; call `on_exit`, where the API can be used, with the result of vim.system().
local function run(arguments, options, on_exit)
  local command, environment = setup_command()
  if not command then
    return nil
  end
  options = vim.tbl_extend("force", { text = true, env = environment }, options)
  local is_started, process = pcall(vim.system, vim.list_extend(command, arguments), options, vim.schedule_wrap(on_exit))
  if not is_started then
    return notify_error(("there is no program %s. See :checkhealth starcoder"):format(command[1]))
  end
  return process
end

--- One line of the list. Its columns are those of COLUMNS.
local function describe(model)
  if not model.model then
    return "another model: a folder, or an id of the Hugging Face Hub"
  end
  local download = model.downloaded and "here" or size(model.downloadBytes)
  local quantization = model.quantization ~= "none" and model.quantization or ""
  local time = type(model.msPerToken) == "number" and ("%.0f ms"):format(model.msPerToken) or ""
  local line = ("%-32s %7s %7s %12s %6s  %s"):format(model.model, download, size(model.memoryBytes), quantization, time, model.licence)
  return line .. (model.remarks ~= "" and "; " .. model.remarks or "")
end

local function show_failure(failure)
  local remedy = failure.kind == "connection" and " :Starcoder model tries again." or ""
  notify_error(failure.message .. remedy)
  if failure.page then
    vim.ui.select({ "Open the licence page", "Close" }, { prompt = "StarCoder: " .. failure.page }, function(answer)
      if answer == "Open the licence page" then
        vim.ui.open(failure.page)
      end
    end)
  end
end

--- Download the model and write the settings file, with the progress in the status line; then restart the server.
local function set_up(name)
  local status = require("starcoder.status")
  local failure, is_written, rest = nil, false, ""
  local function on_line(text)
    local is_json, line = pcall(vim.json.decode, text)
    if not is_json or type(line) ~= "table" then
      return -- what a library prints
    end
    failure, is_written = line.error or failure, is_written or line.written ~= nil
    if line.progress then
      vim.schedule(function()
        status.set_download(line.progress)
      end)
    end
  end
  local function on_output(_, data)
    local lines = vim.split(rest .. (data or ""), "\n", { plain = true })
    rest = table.remove(lines)
    vim.iter(lines):each(on_line)
  end
  local process
  process = run({ "--model", name, "--yes", "--json" }, { stdout = on_output }, function(result)
    running = nil
    status.set_download(nil)
    if is_written then
      notify(name .. " is set up; the server is started again")
      status.restart()
    elseif result.signal ~= 0 then
      notify("the download was stopped. It continues there when you choose the model again")
    else
      show_failure(failure or { message = error_of(result) })
    end
  end)
  running = process
end

--- Ask, then set up. `settings_file` is what will be changed.
local function ask(model, settings_file)
  local action = model.downloaded and "Use" or "Download"
  local question = { model.downloaded and ("use %s"):format(model.model) or ("download %s"):format(model.model) }
  if (model.downloadBytes or 0) > 0 then
    table.insert(question, ("(%s)"):format(size(model.downloadBytes)))
  end
  table.insert(question, "and write " .. settings_file .. ", which all editors read?")
  if (model.problem or "") ~= "" then
    table.insert(question, ("It %s, more than is free."):format(model.problem))
  elseif (model.licence or "") ~= "" then
    table.insert(question, ("Licence: %s."):format(model.licence))
  end
  vim.ui.select({ action, "Cancel" }, { prompt = "StarCoder: " .. table.concat(question, " ") }, function(answer)
    if answer == action then
      set_up(model.model)
    end
  end)
end

local function choose(list, name)
  local function ask_for(model)
    ask(model, list.settingsFile)
  end
  if name then
    local is_listed = vim.iter(list.models):find(function(model)
      return model.model == name
    end)
    return ask_for(is_listed or { model = name, downloaded = vim.fn.isdirectory(name) == 1 })
  end
  local machine = ("%s, %s free): %s"):format(list.machine.name, size(list.machine.freeBytes), COLUMNS)
  local items = vim.list_extend(vim.deepcopy(list.models), { {} })
  vim.ui.select(items, { prompt = "StarCoder: models (" .. machine, format_item = describe }, function(model)
    if model and model.model then
      return ask_for(model)
    elseif model then
      vim.ui.input({ prompt = "Folder or id: ", completion = "dir" }, function(text)
        if text and vim.trim(text) ~= "" then
          choose(list, vim.trim(text))
        end
      end)
    end
  end)
end

--- Let the user choose a model, or set up the one called `name`. While a model is downloaded, offers to stop that.
function M.choose(name)
  if running then
    return vim.ui.select({ "Stop the download", "Continue" }, { prompt = "StarCoder: a model is being downloaded" }, function(answer)
      if answer == "Stop the download" and running then
        running:kill("sigterm")
      end
    end)
  end
  run({ "--list", "--json" }, {}, function(result)
    if result.code ~= 0 then
      return notify_error(error_of(result))
    end
    choose(vim.json.decode(result.stdout), name)
  end)
end

return M
