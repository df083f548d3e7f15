-- Actions on code: which lines they are about, and what the user adds. What comes of them is the server's.
local M = {}

--- Show what is text, apply what is an edit.
local function run(client, argument, title, is_text, context)
  if is_text then
    return require("starcoder.answer").run(argument, title, context)
  end
  client:request("codeAction/resolve", { title = title, data = argument }, function(failure, resolved)
    if failure then
      vim.notify("StarCoder: " .. failure.message, vim.log.levels.ERROR)
    elseif resolved and resolved.edit then
      vim.lsp.util.apply_workspace_edit(resolved.edit, client.offset_encoding)
    end
  end, context.bufnr)
end

--- Ask for a line, then run what it is for. The server's `starcoder.instruct`, which is the client's own command.
function M.instruct(command, context)
  vim.ui.input({ prompt = command.title .. ": " }, function(line)
    if line and line ~= "" then
      local client = assert(vim.lsp.get_client_by_id(context.client_id))
      local argument = vim.tbl_extend("force", command.arguments[1], { instruction = line })
      run(client, argument, command.title, command.arguments[2] == "starcoder.explain", context)
    end
  end)
end

--- Lines of a range, or an empty range at the cursor: the server knows the function around it.
local function range_of(client, given)
  if given.range == 0 then
    return vim.lsp.util.make_range_params(0, client.offset_encoding).range
  end
  local last = vim.api.nvim_buf_get_lines(0, given.line2 - 1, given.line2, false)[1] or ""
  local column = vim.str_utfindex(last, client.offset_encoding)
  return { start = { line = given.line1 - 1, character = 0 }, ["end"] = { line = given.line2 - 1, character = column } }
end

--- One action by name. `instruction` is what the user typed behind it, if anything.
function M.run(client, name, given, instruction)
  local buffer = vim.api.nvim_get_current_buf()
  local document = vim.lsp.util.make_text_document_params(buffer)
  local context = { client_id = client.id, bufnr = buffer }
  local fallback = { action = name, uri = document.uri, range = range_of(client, given) }
  local params = {
    textDocument = document,
    range = fallback.range,
    context = {
      diagnostics = vim.lsp.diagnostic.from(vim.diagnostic.get(buffer, { lnum = fallback.range.start.line })),
      only = { name == "fix" and "quickfix" or "starcoder." .. name },
      triggerKind = vim.lsp.protocol.CodeActionTriggerKind.Invoked,
    },
  }
  client:request("textDocument/codeAction", params, function(_, offered)
    local argument, title, is_text = fallback, name:gsub("^%l", string.upper), vim.list_contains({ "explain", "test", "ask" }, name)
    for _, action in ipairs(offered or {}) do
      local meant = action.data or (action.command and action.command.arguments[1]) or {}
      if meant.action == name then
        local command = action.command
        argument, title = meant, action.title:gsub(" …$", "")
        is_text = command ~= nil and (command.command == "starcoder.explain" or command.arguments[2] == "starcoder.explain")
        if command and command.command == "starcoder.instruct" and not instruction then
          return M.instruct(command, context)
        end
      end
    end
    -- What is not offered is asked for all the same, and refused with the reason.
    run(client, vim.tbl_extend("force", argument, { instruction = instruction }), title, is_text, context)
  end, buffer)
end

return M
