-- What a user calls: set-up, the parts of a suggestion that keys accept, a word for the status line.
local M = {}

M.NAME = "starcoder_ls"

local MAPS = { accept = "<Tab>", word = "<C-Right>", line = "<C-Down>", next = "<M-]>", previous = "<M-[>", dismiss = "<C-]>" }

--- The client of a buffer, or nil.
function M.client(buffer)
  return vim.lsp.get_clients({ name = M.NAME, bufnr = buffer or 0 })[1]
end

--- What of a suggestion is right of the cursor; nil where the user has gone elsewhere or typed something else meanwhile.
local function rest_of(item)
  local text = item.insert_text
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  local first, from = item.range:to_extmark()
  local typed = vim.api.nvim_get_current_line():sub(from + 1, column)
  if first == row - 1 and from <= column and vim.startswith(text, typed) then
    return text:sub(#typed + 1)
  end
end

--- Insert the part of the ghost text that `pick` takes of its rest. False where there is no ghost text; where it is out of date,
--- `key` is typed instead: Neovim keeps what it showed until the next answer comes.
local function accept_part(pick, key)
  return vim.lsp.inline_completion.get({
    on_accept = function(item)
      if type(item.insert_text) ~= "string" or not item.range then
        return item -- another server's
      end
      local rest = rest_of(item)
      if not rest then
        vim.api.nvim_feedkeys(vim.keycode(key or ""), "n", false)
        return nil
      end
      local part = pick(rest)
      if part == rest then
        return item -- the last part is the whole: it may replace brackets behind the cursor
      end
      local row, column = unpack(vim.api.nvim_win_get_cursor(0))
      local lines = vim.split(part, "\n", { plain = true })
      vim.api.nvim_buf_set_text(0, row - 1, column, row - 1, column, lines)
      vim.api.nvim_win_set_cursor(0, { row + #lines - 1, (#lines == 1 and column or 0) + #lines[#lines] })
      return nil
    end,
  })
end

M.accept = function(key)
  return accept_part(function(rest)
    return rest
  end, key)
end

--- The next word, or the next run of punctuation, with the blanks before it.
M.accept_word = function(key)
  return accept_part(function(rest)
    local word = vim.fn.matchstr(rest, [[^\_s*\%(\k\+\|\%(\k\@!\S\)\+\)]])
    return word ~= "" and word or rest
  end, key)
end

--- Up to the end of the line; where the ghost text begins with a line end, the whole next line.
M.accept_line = function(key)
  return accept_part(function(rest)
    local stop = rest:find("\n", 2, true)
    return stop and rest:sub(1, stop - 1) or rest
  end, key)
end

M.next = function()
  vim.lsp.inline_completion.select({ count = 1 })
  return true
end

M.previous = function()
  vim.lsp.inline_completion.select({ count = -1 })
  return true
end

--- Hide the ghost text; the next key asks again.
M.dismiss = function()
  return vim.lsp.inline_completion.get({
    on_accept = function() end,
  })
end

local HANDLERS = {
  accept = { M.accept, "Accept the suggestion" },
  word = { M.accept_word, "Accept a word of the suggestion" },
  line = { M.accept_line, "Accept a line of the suggestion" },
  next = { M.next, "Next suggestion" },
  previous = { M.previous, "Previous suggestion" },
  dismiss = { M.dismiss, "Hide the suggestion" },
}

local function map(name, key)
  local handler = HANDLERS[name]
  assert(handler, ("starcoder: there is no map %q; there are %s"):format(name, table.concat(vim.tbl_keys(HANDLERS), ", ")))
  vim.keymap.set("i", key, function()
    return handler[1](key) and "" or key
  end, { expr = true, desc = "StarCoder: " .. handler[2] })
end

--- Optional. `cmd` and whatever else |vim.lsp.Config| has goes to the server's config; `maps` is true for the default keys, or a
--- table of those wanted, such as { accept = "<Tab>" }; without `maps` no key is touched.
function M.setup(options)
  local config = vim.deepcopy(options or {})
  local maps = config.maps
  config.maps = nil
  if next(config) then
    vim.lsp.config(M.NAME, config)
  end
  vim.lsp.enable(M.NAME)
  vim.lsp.inline_completion.enable()
  for name, key in pairs(maps == true and MAPS or maps or {}) do
    map(name, key)
  end
end

--- A few words for the status line: what the server is doing, or its model.
function M.statusline()
  return require("starcoder.status").line()
end

return M
