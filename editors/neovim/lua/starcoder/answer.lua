-- The floating window that shows the model's text while it is generated. Closing the window cancels the request.
local M = {}

local namespace = vim.api.nvim_create_namespace("starcoder.answer")
local request_count = 0
local FOOTER = " q closes · Y copies · gi inserts as a comment "

--- A buffer for the answer in a float beside the code that `argument` names. Returns the buffer, its window and what fits the window.
local function open(title, argument, source)
  local buffer = vim.api.nvim_create_buf(false, true)
  vim.bo[buffer].bufhidden = "wipe"
  local first, last = argument.range.start.line, argument.range["end"].line
  local window, fit = require("starcoder.float").open(buffer, source, first, last, (" StarCoder: %s "):format(title), FOOTER)
  vim.bo[buffer].filetype = "markdown"
  vim.wo[window][0].conceallevel, vim.wo[window][0].concealcursor = 2, "n"
  return buffer, window, fit
end

--- Insert `lines` above line `line` of the buffer `source`, as a comment of its file type.
local function insert_as_comment(lines, source, line)
  local form = vim.bo[source].commentstring
  form = form:find("%%s") and form or "# %s"
  local indentation = (vim.api.nvim_buf_get_lines(source, line, line + 1, false)[1] or ""):match("^%s*")
  local comment = vim.tbl_map(function(text)
    return indentation .. vim.trim((form:gsub("%%s", function()
      return text
    end)))
  end, lines)
  vim.api.nvim_buf_set_lines(source, line, line, false, comment)
end

--- Run the server's command starcoder.explain with `argument` and show the answer while it arrives.
function M.run(argument, title, context)
  local client = assert(vim.lsp.get_client_by_id(context.client_id))
  local source = vim.uri_to_bufnr(argument.uri)
  request_count = request_count + 1
  local with_token = vim.tbl_extend("force", argument, { token = "starcoder-" .. request_count })
  local buffer, window, fit = open(title, argument, source)
  -- Where the code begins, also after the text above it has changed.
  local mark = vim.api.nvim_buf_set_extmark(source, namespace, argument.range.start.line, 0, {})
  local function show(text)
    if vim.api.nvim_buf_is_valid(buffer) then
      vim.api.nvim_buf_set_lines(buffer, 0, -1, false, vim.split(text, "\n", { plain = true }))
      fit()
    end
  end
  local function lines()
    return vim.split(vim.trim(table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), "\n")), "\n", { plain = true })
  end
  local function close()
    if vim.api.nvim_win_is_valid(window) then
      vim.api.nvim_win_close(window, true)
    end
  end
  vim.keymap.set("n", "q", close, { buffer = buffer, nowait = true, desc = "Close" })
  vim.keymap.set("n", "Y", function()
    vim.fn.setreg('"', lines(), "l")
    pcall(vim.fn.setreg, "+", lines(), "l") -- fails without a clipboard
  end, { buffer = buffer, desc = "Copy" })
  vim.keymap.set("n", "gi", function()
    local text = lines()
    local line = vim.api.nvim_buf_is_loaded(source) and vim.api.nvim_buf_get_extmark_by_id(source, namespace, mark, {})[1]
    close()
    if not line then
      return require("starcoder.message").show("the file is no longer open, so nothing was inserted.", vim.log.levels.ERROR)
    end
    insert_as_comment(text, source, line)
  end, { buffer = buffer, desc = "Insert as a comment" })
  show("…")
  local listener = vim.api.nvim_create_autocmd("LspProgress", {
    callback = function(event)
      local params = event.data.params
      if params.token == with_token.token then
        show(params.value.text)
      end
    end,
  })
  local params = { command = "starcoder.explain", arguments = { with_token } }
  local _, request = client:request("workspace/executeCommand", params, function(failure, result)
    if failure then
      show(failure.message)
    elseif type(result) == "table" then
      show(result.text)
    end
  end, source)
  vim.api.nvim_create_autocmd("BufWipeout", {
    buffer = buffer,
    callback = function()
      vim.api.nvim_del_autocmd(listener)
      if vim.api.nvim_buf_is_valid(source) then
        vim.api.nvim_buf_del_extmark(source, namespace, mark)
      end
      if request then
        client:cancel_request(request)
      end
    end,
  })
end

return M
