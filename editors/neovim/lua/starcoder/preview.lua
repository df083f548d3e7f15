-- Shows what an edit would change as a diff in a floating window, and applies it, as one undo step, if the user agrees.
local M = {}

local MARGIN = 4 -- columns and lines of the editor that stay visible

--- Whether the server asks for confirmation.
local function needs_confirmation(edit)
  for _, annotation in pairs(edit.changeAnnotations or {}) do
    if annotation.needsConfirmation then
      return true
    end
  end
  return false
end

--- The edits of the one document that an action changes, without annotations, for which Neovim would ask by itself.
local function plain_edits(edit)
  local document = (edit.documentChanges or {})[1]
  local edits = document and document.edits or select(2, next(edit.changes or {})) or {}
  return vim.tbl_map(function(item)
    return { range = item.range, newText = item.newText }
  end, edits)
end

--- A unified diff, in lines, of what `edits` would change in `buffer`.
local function diff(buffer, edits, encoding)
  local before = vim.api.nvim_buf_get_lines(buffer, 0, -1, false)
  local copy = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_lines(copy, 0, -1, false, before)
  vim.lsp.util.apply_text_edits(vim.deepcopy(edits), copy, encoding)
  local after = vim.api.nvim_buf_get_lines(copy, 0, -1, false)
  vim.api.nvim_buf_delete(copy, { force = true })
  local compare = vim.text.diff or vim.diff
  local text = compare(table.concat(before, "\n") .. "\n", table.concat(after, "\n") .. "\n", { ctxlen = 3 })
  return vim.split(vim.trim(text), "\n", { plain = true })
end

local function open(title, lines)
  local buffer = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, lines)
  vim.bo[buffer].bufhidden, vim.bo[buffer].modifiable = "wipe", false
  local footer, width = " Enter applies · q discards ", 0
  for _, line in ipairs({ footer, title .. " StarCoder:  ", unpack(lines) }) do
    width = math.max(width, vim.fn.strdisplaywidth(line))
  end
  width = math.max(math.min(width, vim.o.columns - MARGIN), 1)
  local height = math.max(math.min(#lines, vim.o.lines - vim.o.cmdheight - MARGIN), 1)
  local window = vim.api.nvim_open_win(buffer, true, {
    relative = "editor",
    row = math.max(math.floor((vim.o.lines - vim.o.cmdheight - height) / 2) - 1, 0),
    col = require("starcoder.float").column(vim.api.nvim_get_current_win(), width),
    width = width,
    height = height,
    style = "minimal",
    border = "rounded",
    title = (" StarCoder: %s "):format(title),
    footer = footer,
  })
  vim.bo[buffer].filetype = "diff"
  vim.wo[window][0].wrap = false
  return buffer, window
end

--- Apply the workspace edit of an action to `buffer`, after the user has seen its diff if the server asks for confirmation.
function M.apply(edit, title, buffer, encoding)
  local edits = plain_edits(edit)
  if not needs_confirmation(edit) then
    return vim.lsp.util.apply_text_edits(edits, buffer, encoding)
  end
  local tick = vim.api.nvim_buf_get_changedtick(buffer)
  local preview, window = open(title, diff(buffer, edits, encoding))
  local function close()
    if vim.api.nvim_win_is_valid(window) then
      vim.api.nvim_win_close(window, true)
    end
  end
  local function accept()
    close()
    if vim.api.nvim_buf_get_changedtick(buffer) ~= tick then
      return require("starcoder.message").show("the text was changed in the meantime, so nothing was done.", vim.log.levels.ERROR)
    end
    vim.lsp.util.apply_text_edits(edits, buffer, encoding)
  end
  for _, key in ipairs({ "<CR>", "y" }) do
    vim.keymap.set("n", key, accept, { buffer = preview, nowait = true, desc = "Apply" })
  end
  for _, key in ipairs({ "q", "n", "<Esc>" }) do
    vim.keymap.set("n", key, close, { buffer = preview, nowait = true, desc = "Discard" })
  end
  vim.api.nvim_create_autocmd("WinLeave", { buffer = preview, once = true, callback = vim.schedule_wrap(close) })
end

return M
