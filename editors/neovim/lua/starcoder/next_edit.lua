-- Shows the next edit that the server offers after a change, and applies it with a key. It is requested in normal mode only, where
-- there is no ghost text; typing removes it. The keys are mapped while an edit is on the screen.
local M = {}

local METHOD = "textDocument/copilotInlineEdit"
local namespace = vim.api.nvim_create_namespace("starcoder.next_edit")
local group = vim.api.nvim_create_augroup("starcoder.next_edit", {})

local keys -- { accept, dismiss }
local shown -- { buffer, client_id, edit, tick, user_maps }
local pending -- { client_id, request_id }

local function set_highlights()
  vim.api.nvim_set_hl(0, "StarcoderEditOld", { link = "DiffDelete", default = true })
  vim.api.nvim_set_hl(0, "StarcoderEditNew", { link = "DiffAdd", default = true })
end

local function client_of(buffer)
  local client = require("starcoder").client(buffer)
  local experimental = client and client.server_capabilities and client.server_capabilities.experimental
  return experimental and experimental.copilotInlineEdit and client or nil
end

--- Remove the edit from the screen, and cancel the request for one.
function M.clear()
  if pending then
    local client = vim.lsp.get_client_by_id(pending.client_id)
    if client and pending.request_id then
      client:cancel_request(pending.request_id)
    end
    pending = nil
  end
  local old = shown
  shown = nil
  if old and vim.api.nvim_buf_is_valid(old.buffer) then
    vim.api.nvim_buf_clear_namespace(old.buffer, namespace, 0, -1)
    for _, key in ipairs({ keys.accept, keys.dismiss }) do
      pcall(vim.keymap.del, "n", key, { buffer = old.buffer })
    end
    vim.api.nvim_buf_call(old.buffer, function() -- mapset() is about the current buffer
      vim.iter(old.user_maps):each(vim.fn.mapset)
    end)
  end
end

--- The mappings of the user for this buffer that those of an edit replace, as maparg() describes them.
local function user_maps()
  local maps = vim.tbl_map(function(key)
    return vim.fn.maparg(key, "n", false, true)
  end, { keys.accept, keys.dismiss })
  return vim.tbl_filter(function(map)
    return map.buffer == 1
  end, maps)
end

--- Start row, start column, end row and end column of an edit, in bytes.
local function range_of(buffer, edit, encoding)
  return vim.range.lsp(buffer, edit.range, encoding):to_extmark()
end

--- Draw the edit: the old text marked, the new text after it. If it is not visible, the end of the cursor's line says where it is.
local function draw(buffer, edit, encoding)
  local row, column, end_row, end_column = range_of(buffer, edit, encoding)
  local lines = vim.split(edit.text, "\n", { plain = true })
  vim.api.nvim_buf_set_extmark(buffer, namespace, row, column, {
    end_row = end_row,
    end_col = end_column,
    hl_group = { "StarcoderEditOld", "@markup.strikethrough" },
  })
  local rest = {}
  for index = 2, #lines do
    rest[#rest + 1] = { { lines[index], "StarcoderEditNew" } }
  end
  vim.api.nvim_buf_set_extmark(buffer, namespace, end_row, end_column, {
    virt_text = edit.text ~= "" and { { lines[1], "StarcoderEditNew" } } or nil,
    virt_text_pos = "inline",
    virt_lines = #rest > 0 and rest or nil,
  })
  if row + 1 < vim.fn.line("w0") or row + 1 > vim.fn.line("w$") then
    local cursor_row = vim.api.nvim_win_get_cursor(0)[1] - 1
    vim.api.nvim_buf_set_extmark(buffer, namespace, cursor_row, 0, {
      virt_text = { { (" next edit in line %d: %s"):format(row + 1, keys.accept), "StarcoderEditNew" } },
      virt_text_pos = "eol",
    })
  end
end

local function show(client, buffer, edit)
  M.clear()
  local tick = vim.api.nvim_buf_get_changedtick(buffer)
  shown = { buffer = buffer, client_id = client.id, edit = edit, tick = tick, user_maps = user_maps() }
  draw(buffer, edit, client.offset_encoding)
  vim.keymap.set("n", keys.accept, M.accept, { buffer = buffer, desc = "StarCoder: apply the next edit" })
  vim.keymap.set("n", keys.dismiss, M.dismiss, { buffer = buffer, desc = "StarCoder: dismiss the next edit" })
  client:notify("textDocument/didShowInlineEdit", { item = { command = edit.command } })
end

--- Request the next edit for the current buffer.
function M.request()
  M.clear()
  local buffer = vim.api.nvim_get_current_buf()
  local client = client_of(buffer)
  if not client or vim.api.nvim_get_mode().mode ~= "n" then
    return
  end
  local tick = vim.api.nvim_buf_get_changedtick(buffer)
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  params.textDocument.version = vim.lsp.util.buf_versions[buffer]
  local request = { client_id = client.id }
  pending = request
  local _, request_id = client:request(METHOD, params, function(failure, result)
    if pending ~= request then
      return
    end
    pending = nil
    local edit = not failure and result and result.edits and result.edits[1]
    local is_current = buffer == vim.api.nvim_get_current_buf() and tick == vim.api.nvim_buf_get_changedtick(buffer)
    if edit and is_current and vim.api.nvim_get_mode().mode == "n" then
      show(client, buffer, edit)
    end
  end, buffer)
  request.request_id = request_id
end

--- Go to the edit if it is not visible, else apply it. Returns false if there is none.
function M.accept()
  local edit = shown
  if not edit or edit.tick ~= vim.api.nvim_buf_get_changedtick(edit.buffer) then
    return false
  end
  local client = assert(vim.lsp.get_client_by_id(edit.client_id))
  local row, column = range_of(edit.buffer, edit.edit, client.offset_encoding)
  if row + 1 < vim.fn.line("w0") or row + 1 > vim.fn.line("w$") then
    vim.cmd("normal! m'")
    vim.api.nvim_win_set_cursor(0, { row + 1, column })
    vim.cmd("normal! zz")
    return true
  end
  M.clear()
  vim.lsp.util.apply_text_edits({ { range = edit.edit.range, newText = edit.edit.text } }, edit.buffer, client.offset_encoding)
  local lines = vim.split(edit.edit.text, "\n", { plain = true })
  local last = #lines == 1 and column + #lines[1] or #lines[#lines]
  vim.api.nvim_win_set_cursor(0, { row + #lines, math.max(last - 1, 0) })
  client:exec_cmd(edit.edit.command, { bufnr = edit.buffer })
  return true
end

--- Remove the edit; it is not offered again. Returns false if there is none.
function M.dismiss()
  if not shown then
    return false
  end
  local client, command = vim.lsp.get_client_by_id(shown.client_id), shown.edit.command
  M.clear()
  if client then
    client:exec_cmd({ title = "Dismiss", command = "starcoder.editDismissed", arguments = command.arguments })
  end
  return true
end

--- Request and show next edits from now on. `options` is true or has the keys `accept` and `dismiss`.
function M.enable(options)
  keys = vim.tbl_extend("force", { accept = "<Tab>", dismiss = "<Esc>" }, type(options) == "table" and options or {})
  set_highlights()
  local function on(events, callback)
    vim.api.nvim_create_autocmd(events, { group = group, callback = callback })
  end
  on("TextChanged", vim.schedule_wrap(M.request))
  on("InsertLeave", vim.schedule_wrap(M.request))
  on({ "InsertEnter", "TextChangedI", "BufLeave" }, M.clear)
  on("ColorScheme", set_highlights)
end

return M
