-- :Starcoder and its sub-commands. Decides what each takes; the work is elsewhere.
local M = {}

local ACTIONS = { "ask", "document", "explain", "fix", "rewrite", "simplify", "test" }

local function tell(text, level)
  vim.notify("StarCoder: " .. text, level or vim.log.levels.INFO)
end

--- The client of this buffer; without one the user is told where to look.
local function running()
  local client = require("starcoder").client()
  if not client then
    tell("no server is running for this buffer. See :checkhealth starcoder", vim.log.levels.ERROR)
  end
  return client
end

--- Ask the server, and go on with its answer.
local function ask(method, params, go_on)
  local client = running()
  if client then
    client:request(method, params, function(failure, result)
      if failure then
        tell(failure.message, vim.log.levels.ERROR)
      else
        go_on(result, client)
      end
    end)
  end
end

local function show(name, lines)
  vim.cmd.new()
  vim.bo.buftype, vim.bo.bufhidden, vim.bo.swapfile = "nofile", "wipe", false
  vim.api.nvim_buf_set_lines(0, 0, -1, false, lines)
  vim.bo.modifiable = false
  vim.api.nvim_buf_set_name(0, "starcoder://" .. name)
end

local function latency(stats)
  local count = vim.iter(vim.tbl_values(stats.answers)):fold(0, function(sum, one)
    return sum + one
  end)
  if count == 0 then
    return tell("no suggestion was asked for yet")
  end
  local function times(of)
    return of.p50 and ("%.0f ms (median), %.0f ms (95 %%)"):format(of.p50, of.p95) or "none"
  end
  tell(("%d answers, %g %% without the model. All: %s. By the model: %s."):format(count, stats.without_model_percent, times(stats.ms), times(stats.model_ms)))
end

local function prompt(told)
  local budget = told.budget
  local lines = {
    ("model   %s%s"):format(told.model, type(told.adapter) == "string" and " with " .. told.adapter or ""),
    ("layout  %s, %s"):format(told.family, told.order:upper()),
    ("budget  %d of %d tokens of this document, at most %d new ones, in a context of %d"):format(told.tokens, budget.promptTokens, budget.maxNewTokens, budget.contextTokens),
  }
  for _, part in ipairs(told.parts) do
    table.insert(lines, "")
    table.insert(lines, part.isSpecial and "──── " .. part.text or ("     %d tokens"):format(part.tokens))
    if not part.isSpecial then
      vim.list_extend(lines, vim.split(part.text, "\n", { plain = true }))
    end
  end
  show("prompt", lines)
end

local function adapters(listed)
  if #listed == 0 then
    return tell("no adapter is resident")
  end
  tell(table.concat(vim.tbl_map(function(one)
    return ("%s (%s, %.1f MiB): %s"):format(one.name, one.method, one.memoryBytes / 1024 / 1024, table.concat(one.tasks, ", "))
  end, listed), "\n"))
end

local function execute(command, argument, go_on)
  ask("workspace/executeCommand", { command = command, arguments = { argument } }, go_on)
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
    tell(require("starcoder").statusline() .. (status and status.message ~= "" and ": " .. status.message or ""))
  end,
  latency = function()
    ask("starcoder/stats", vim.empty_dict(), latency)
  end,
  prompt = function()
    local client = running()
    if client then
      ask("starcoder/prompt", vim.lsp.util.make_position_params(0, client.offset_encoding), prompt)
    end
  end,
  adapters = function()
    execute("starcoder.listAdapters", vim.empty_dict(), adapters)
  end,
  attach = function(words)
    local name, path = words[1], words[2]
    if not path then
      return tell("usage: :Starcoder attach NAME FOLDER-OR-HUB-ID [TASK ...]", vim.log.levels.ERROR)
    end
    local tasks = #words > 2 and vim.list_slice(words, 3) or nil
    execute("starcoder.attachAdapter", { name = name, path = path, tasks = tasks }, function(attached)
      tell(("%s is attached (%s)"):format(attached.name, attached.method))
    end)
  end,
  detach = function(words)
    execute("starcoder.detachAdapter", { name = words[1] or "" }, function(detached)
      tell(detached.name .. " is detached")
    end)
  end,
  log = function()
    vim.cmd.edit(vim.fn.fnameescape(vim.lsp.log.get_filename()))
  end,
}

for _, name in ipairs(ACTIONS) do
  M.subcommands[name] = function(words, given)
    local client = running()
    if client then
      require("starcoder.actions").run(client, name, given, #words > 0 and table.concat(words, " ") or nil)
    end
  end
end

function M.run(given)
  local words = vim.deepcopy(given.fargs)
  local name = table.remove(words, 1)
  local subcommand = M.subcommands[name]
  if not subcommand then
    return tell(("there is no :Starcoder %s; there are %s"):format(name, table.concat(M.complete("", "Starcoder "), ", ")), vim.log.levels.ERROR)
  end
  subcommand(words, given)
end

function M.complete(lead, line)
  local words = vim.split(line:gsub("^.*Starcoder%s+", ""), "%s+")
  local known = vim.tbl_keys(M.subcommands)
  if #words > 1 then
    known = vim.list_contains({ "pause", "resume" }, words[1]) and { vim.bo.filetype } or {}
    if words[1] == "detach" then
      known = vim.tbl_map(function(adapter)
        return adapter.name
      end, (require("starcoder.status").of(0) or {}).adapters or {})
    end
  end
  table.sort(known)
  return vim.tbl_filter(function(one)
    return vim.startswith(one, lead)
  end, known)
end

return M
