-- Messages to the user, without a "Press ENTER" prompt: the command line has as many rows as the message until the next key.
local M = {}

local namespace = vim.api.nvim_create_namespace("starcoder.message")
local usual_height = nil -- 'cmdheight' of the user, while it is changed

local function rows_of(text)
  local rows, width = 0, 0
  for line in vim.gsplit(text, "\n", { plain = true }) do
    width = vim.fn.strdisplaywidth(line)
    rows = rows + math.max(math.ceil(width / vim.o.columns), 1)
  end
  local is_last_row_full = (width - 1) % vim.o.columns + 1 > vim.v.echospace
  return rows + (is_last_row_full and 1 or 0)
end

local function restore()
  vim.on_key(nil, namespace)
  vim.schedule(function()
    if usual_height then
      vim.o.cmdheight, usual_height = usual_height, nil
    end
  end)
end

--- Show `text`. `following` is what Neovim itself will show right after it.
function M.show(text, level, following)
  text = "StarCoder: " .. text
  local rows = math.min(rows_of(text) + (following and rows_of(following) or 0), math.floor(vim.o.lines / 2))
  if rows > vim.o.cmdheight then
    usual_height = usual_height or vim.o.cmdheight
    vim.o.cmdheight = rows
    vim.on_key(restore, namespace)
  end
  vim.cmd.redraw() -- a message above this one would have to be confirmed
  vim.notify(text, level or vim.log.levels.INFO)
end

return M
