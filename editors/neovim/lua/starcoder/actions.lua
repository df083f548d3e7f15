-- Code actions: finds the lines that an action applies to, asks the user for an instruction and shows what an edit would change.
-- The server does the rest.
local M = {}

--- Run one action: show the answer if it is text, else show the edit and apply it.
local function run(client, argument, title, is_text, context)
  if is_text then
    return require("starcoder.answer").run(argument, title, context)
  end
  client:request("codeAction/resolve", { title = title, data = argument }, function(failure, resolved)
    if failure then
      require("starcoder.message").show(failure.message, vim.log.levels.ERROR)
    elseif resolved and resolved.edit then
      require("starcoder.preview").apply(resolved.edit, title, context.bufnr, client.offset_encoding)
    end
  end, context.bufnr)
end

--- Run an action that edits. Implements the command `starcoder.act`, which the server offers in place of edits because the client
--- does not declare that it resolves them: Neovim would apply them without a preview.
function M.act(command, context)
  local client = assert(vim.lsp.get_client_by_id(context.client_id))
  run(client, command.arguments[1], command.title, false, context)
end

--- Ask the user for a line, then run the action with it as its instruction. Implements the client command `starcoder.instruct`.
function M.instruct(command, context)
  vim.ui.input({ prompt = command.title .. ": " }, function(line)
    if line and line ~= "" then
      local client = assert(vim.lsp.get_client_by_id(context.client_id))
      local argument = vim.tbl_extend("force", command.arguments[1], { instruction = line })
      run(client, argument, command.title, command.arguments[2] == "starcoder.explain", context)
    end
  end)
end

--- The LSP range of an Ex command: its lines, or without a range an empty range at the cursor, which the server extends to the
--- enclosing function.
local function lsp_range(client, ex)
  if ex.range == 0 then
    return vim.lsp.util.make_range_params(0, client.offset_encoding).range
  end
  local last = vim.api.nvim_buf_get_lines(0, ex.line2 - 1, ex.line2, false)[1] or ""
  local column = vim.str_utfindex(last, client.offset_encoding)
  return { start = { line = ex.line1 - 1, character = 0 }, ["end"] = { line = ex.line2 - 1, character = column } }
end

--- Run the action called `name` for the Ex command `ex`. `instruction` is the text after the sub-command, or nil.
function M.run(client, name, ex, instruction)
  local buffer = vim.api.nvim_get_current_buf()
  local document = vim.lsp.util.make_text_document_params(buffer)
  local context = { client_id = client.id, bufnr = buffer }
  local fallback = { action = name, uri = document.uri, range = lsp_range(client, ex) }
  local params = {
    textDocument = document,
    range = fallback.range,
    context = {
      diagnostics = vim.lsp.diagnostic.from(vim.diagnostic.get(buffer)), -- the server takes those in the range or function
      only = { name == "fix" and "quickfix" or "starcoder." .. name },
      triggerKind = vim.lsp.protocol.CodeActionTriggerKind.Invoked,
    },
  }
  client:request("textDocument/codeAction", params, function(_, code_actions)
    local argument, title, is_text = fallback, name:gsub("^%l", string.upper), vim.list_contains({ "explain", "test", "ask" }, name)
    for _, action in ipairs(code_actions or {}) do
      local candidate = action.data or (action.command and action.command.arguments[1]) or {}
      if candidate.action == name then
        local command = action.command
        argument, title = candidate, action.title:gsub(" …$", "")
        is_text = command ~= nil and (command.command == "starcoder.explain" or command.arguments[2] == "starcoder.explain")
        if command and command.command == "starcoder.instruct" and not instruction then
          return M.instruct(command, context)
        end
      end
    end
    -- An action that the server did not offer is requested too: the server answers with the reason why it is unavailable.
    run(client, vim.tbl_extend("force", argument, { instruction = instruction }), title, is_text, context)
  end, buffer)
end

return M
