-- A client is a table: everything it does is Neovim's own, but for two commands that only an editor can run.

local asked = 0

--- Show text in a window below as the server makes it; closing the window ends the work.
local function explain(command, context)
  local client = assert(vim.lsp.get_client_by_id(context.client_id))
  asked = asked + 1
  local argument = vim.tbl_extend("force", command.arguments[1], { token = "starcoder-" .. asked })
  local buffer = vim.api.nvim_create_buf(false, true)
  vim.bo[buffer].bufhidden = "wipe"
  vim.bo[buffer].filetype = "markdown"
  local window = vim.api.nvim_open_win(buffer, false, { split = "below", height = 12, win = 0 })
  vim.wo[window].wrap, vim.wo[window].linebreak = true, true
  local function show(text)
    if vim.api.nvim_buf_is_valid(buffer) then
      vim.api.nvim_buf_set_lines(buffer, 0, -1, false, vim.split(text, "\n", { plain = true }))
    end
  end
  show("…")
  local listener = vim.api.nvim_create_autocmd("LspProgress", {
    callback = function(event)
      local params = event.data.params
      if params.token == argument.token then
        show(params.value.text)
      end
    end,
  })
  local params = { command = command.command, arguments = { argument } }
  local _, request = client:request("workspace/executeCommand", params, function(failure, result)
    if failure then
      show(failure.message)
    elseif type(result) == "table" then
      show(result.text)
    end
  end, context.bufnr)
  vim.api.nvim_create_autocmd("BufWipeout", {
    buffer = buffer,
    callback = function()
      vim.api.nvim_del_autocmd(listener)
      if request then
        client:cancel_request(request)
      end
    end,
  })
end

--- Ask for a line, then run what it is for.
local function instruct(command, context)
  vim.ui.input({ prompt = command.title .. ": " }, function(line)
    if line and line ~= "" then
      local argument = vim.tbl_extend("force", command.arguments[1], { instruction = line })
      local client = assert(vim.lsp.get_client_by_id(context.client_id))
      client:exec_cmd({ title = command.title, command = command.arguments[2], arguments = { argument } }, context)
    end
  end)
end

return {
  cmd = { "starcoder-ls", "serve" },
  root_markers = { ".git" },
  -- No filetypes: the model has seen most languages. Name some to have it there only.
  capabilities = { experimental = { starcoderInstruct = true } },
  commands = { ["starcoder.explain"] = explain, ["starcoder.instruct"] = instruct },
}
