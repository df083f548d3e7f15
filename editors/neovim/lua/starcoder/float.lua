-- The floating window of an explanation: as large as its text, and above, below or beside the code that it is about.
local M = {}

local MAX_WIDTH, MIN_WIDTH = 84, 20
local BORDER = 2 -- rows, and columns, of both borders
local MIN_HEIGHT = 3

--- The rows of the screen, from 1, that the lines `first` .. `last` (from 0) of the buffer in `window` occupy.
local function screen_rows(window, first, last)
  local info = vim.fn.getwininfo(window)[1]
  local top, bottom = info.winrow + info.winbar, info.winrow + info.winbar + info.height - 1
  local function row_of(line, column, fallback)
    local row = vim.fn.screenpos(window, line + 1, column).row
    return row > 0 and row or fallback
  end
  return row_of(math.max(first, info.topline - 1), 1, top), row_of(math.min(last, info.botline - 1), vim.v.maxcol, bottom)
end

--- Where a float may be that does not cover the rows `first` .. `last`: below them, above them, or, if both are too small, at the
--- lower right corner of the screen, over the ends of the lines.
local function area(first, last)
  local above = first - 1 - BORDER - (vim.o.showtabline > 1 and 1 or 0)
  local below = vim.o.lines - vim.o.cmdheight - (vim.o.laststatus > 0 and 1 or 0) - last - BORDER
  if math.max(above, below) < MIN_HEIGHT then
    local height = math.floor(vim.o.lines / 3)
    return { anchor = "SE", row = vim.o.lines - vim.o.cmdheight - 1, height = height }
  elseif below >= math.min(above, 8) then
    return { anchor = "NW", row = last, height = below }
  end
  return { anchor = "SW", row = first - 1, height = above }
end

local function width_of(buffer, title)
  local width = math.max(MIN_WIDTH, vim.fn.strdisplaywidth(title))
  for _, line in ipairs(vim.api.nvim_buf_get_lines(buffer, 0, -1, false)) do
    width = math.max(width, vim.fn.strdisplaywidth(line))
  end
  return math.max(math.min(width, MAX_WIDTH, vim.o.columns - BORDER), 1)
end

--- The column of the screen, from 0, where a float of `width` begins: where the text of `window` does, so that the float cuts no line
--- number, or further left if it is too wide for that.
function M.column(window, width)
  local info = vim.fn.getwininfo(window)[1]
  return math.max(math.min(info.wincol - 1 + info.textoff, vim.o.columns - width - BORDER), 0)
end

--- Open a float for `buffer` about the lines `first` .. `last` of the buffer `source`. Returns the window and a function that fits it to
--- the text of `buffer`.
function M.open(buffer, source, first, last, title, footer)
  local code = vim.fn.bufwinid(source)
  local place = area(screen_rows(code > 0 and code or 0, first, last))
  local least = math.max(vim.fn.strdisplaywidth(title), vim.fn.strdisplaywidth(footer))
  local function shape(height)
    local width = math.max(width_of(buffer, title), math.min(least, vim.o.columns - BORDER))
    return {
      relative = "editor",
      anchor = place.anchor,
      row = place.row,
      col = place.anchor == "SE" and vim.o.columns or M.column(code > 0 and code or vim.api.nvim_get_current_win(), width),
      width = width,
      height = math.max(math.min(height, place.height), 1),
    }
  end
  local config = vim.tbl_extend("force", shape(1), { style = "minimal", border = "rounded", title = title, footer = footer })
  local window = vim.api.nvim_open_win(buffer, true, config)
  vim.wo[window][0].wrap, vim.wo[window][0].linebreak = true, true
  return window, function()
    if vim.api.nvim_win_is_valid(window) then
      vim.api.nvim_win_set_config(window, shape(1)) -- the height of the text depends on the width
      vim.api.nvim_win_set_config(window, shape(vim.api.nvim_win_text_height(window, {}).all))
    end
  end
end

return M
