-- The :Starcoder command: its sub-commands, their arguments and their completion.
local M = {}

local ACTIONS = { "ask", "document", "explain", "fix", "rewrite", "simplify", "test" }

local function notify(text, level)
  require("starcoder.message").show(text, level)
end

--- The client of this buffer. Without one, notifies the user and returns nil.
local function client_or_notify()
  local client = require("starcoder").client()
  if not client then
    notify("no server is running for this buffer. See :checkhealth starcoder", vim.log.levels.ERROR)
  end
  return client
end

--- Send a request; call `on_result` with the result and the client, or notify the user of the error.
local function request(method, params, on_result)
  local client = client_or_notify()
  if client then
    client:request(method, params, function(failure, result)
      if failure then
        notify(failure.message, vim.log.levels.ERROR)
      else
        on_result(result, client)
      end
    end)
  end
end

--- Show `lines` in a read-only buffer called `name`, in the window that shows it already or a new one.
local function show(name, lines)
  local buffer = vim.fn.bufadd("starcoder://" .. name)
  vim.bo[buffer].buftype, vim.bo[buffer].swapfile = "nofile", false
  local window = vim.fn.bufwinid(buffer)
  if window ~= -1 then
    vim.api.nvim_set_current_win(window)
  else
    vim.cmd.sbuffer(buffer)
  end
  vim.bo.bufhidden, vim.bo.modifiable = "wipe", true
  vim.api.nvim_buf_set_lines(0, 0, -1, false, lines)
  vim.bo.modifiable = false
end

local function show_latency(stats)
  local count = vim.iter(vim.tbl_values(stats.answers)):fold(0, function(sum, answers)
    return sum + answers
  end)
  if count == 0 then
    return notify("no suggestion has been requested yet")
  end
  local function format_times(ms)
    return ms.p50 and ("%.0f ms (median), %.0f ms (95 %%)"):format(ms.p50, ms.p95) or "none"
  end
  notify(("%d answers, %g %% without the model. All: %s. By the model: %s."):format(count, stats.without_model_percent, format_times(stats.ms), format_times(stats.model_ms)))
end

local function show_prompt(prompt)
  local budget = prompt.budget
  local lines = {
    ("model   %s%s"):format(prompt.model, type(prompt.adapter) == "string" and " with " .. prompt.adapter or ""),
    ("layout  %s, %s"):format(prompt.family, prompt.order:upper()),
    ("budget  %d of %d tokens of this document, at most %d new ones, in a context of %d"):format(prompt.tokens, budget.promptTokens, budget.maxNewTokens, budget.contextTokens),
  }
  for _, part in ipairs(prompt.parts) do
    table.insert(lines, "")
    table.insert(lines, part.isSpecial and "──── " .. part.text or ("     %d tokens"):format(part.tokens))
    if not part.isSpecial then
      vim.list_extend(lines, vim.split(part.text, "\n", { plain = true }))
    end
  end
  show("prompt", lines)
end

local function show_adapters(adapters)
  if #adapters == 0 then
    return notify("no adapter is loaded")
  end
  notify(table.concat(vim.tbl_map(function(adapter)
    return ("%s (%s, %.1f MiB): %s"):format(adapter.name, adapter.method, adapter.memoryBytes / 1024 / 1024, table.concat(adapter.tasks, ", "))
  end, adapters), "\n"))
end

local function execute(command, argument, on_result)
  request("workspace/executeCommand", { command = command, arguments = { argument } }, on_result)
end

M.subcommands = {
  pause = function(words)
    require("starcoder.status").pause(true, words[1])
  end,
  resume = function(words)
    require("starcoder.status").pause(false, words[1])
  end,
  restart = function()
    require("starcoder.status").restart()
  end,
  status = function()
    local status = require("starcoder.status").of(0)
    local line = require("starcoder").statusline():gsub("^StarCoder: ", "")
    notify(line .. (status and status.message ~= "" and ": " .. status.message or ""))
  end,
  latency = function()
    request("starcoder/stats", vim.empty_dict(), show_latency)
  end,
  prompt = function()
    local client = client_or_notify()
    if client then
      request("starcoder/prompt", vim.lsp.util.make_position_params(0, client.offset_encoding), show_prompt)
    end
  end,
  adapters = function()
    execute("starcoder.listAdapters", vim.empty_dict(), show_adapters)
  end,
  attach = function(words)
    local name, path = words[1], words[2]
    if not path then
      return notify("usage: :Starcoder attach NAME FOLDER-OR-HUB-ID [TASK ...]", vim.log.levels.ERROR)
    end
    local tasks = #words > 2 and vim.list_slice(words, 3) or nil
    execute("starcoder.attachAdapter", { name = name, path = path, tasks = tasks }, function(attached)
      notify(("%s is attached (%s)"):format(attached.name, attached.method))
    end)
  end,
  detach = function(words)
    execute("starcoder.detachAdapter", { name = words[1] or "" }, function(detached)
      notify(detached.name .. " is detached")
    end)
  end,
  model = function(words)
    require("starcoder.model").choose(words[1])
  end,
  settings = function()
    local status = require("starcoder.status").of(0)
    if status and status.settingsFile then
      vim.cmd.edit(vim.fn.fnameescape(status.settingsFile))
    else
      notify("the settings are valid; `starcoder-ls doctor` prints the path of the settings file")
    end
  end,
  log = function()
    vim.cmd.edit(vim.fn.fnameescape(vim.lsp.log.get_filename()))
  end,
}

for _, name in ipairs(ACTIONS) do
  M.subcommands[name] = function(words, ex)
    local client = client_or_notify()
    if client then
      require("starcoder.actions").run(client, name, ex, #words > 0 and table.concat(words, " ") or nil)
    end
  end
end

--- Run :Starcoder. `ex` is the argument that nvim_create_user_command passes.
function M.run(ex)
  local words = vim.deepcopy(ex.fargs)
  local name = table.remove(words, 1)
  local subcommand = M.subcommands[name]
  if not subcommand then
    return notify(("there is no :Starcoder %s; there are %s"):format(name, table.concat(M.complete("", "Starcoder "), ", ")), vim.log.levels.ERROR)
  end
  subcommand(words, ex)
end

--- Completions of the word `lead` at the end of the command line `line`.
function M.complete(lead, line)
  local words = vim.split(line:gsub("^.*Starcoder%s+", ""), "%s+")
  local candidates = vim.tbl_keys(M.subcommands)
  if #words > 1 then
    candidates = vim.list_contains({ "pause", "resume" }, words[1]) and { vim.bo.filetype } or {}
    if words[1] == "detach" then
      candidates = vim.tbl_map(function(adapter)
        return adapter.name
      end, (require("starcoder.status").of(0) or {}).adapters or {})
    end
  end
  table.sort(candidates)
  return vim.tbl_filter(function(name)
    return vim.startswith(name, lead)
  end, candidates)
end

return M
