-- The public functions of the plug-in: set-up, accepting a suggestion or a part of it, the status line.
local M = {}

M.NAME = "starcoder_ls"

local MAPS =
  { accept = "<Tab>", word = "<C-Right>", line = "<C-Down>", next = "<M-]>", previous = "<M-[>", trigger = [[<M-\>]], dismiss = "<C-]>" }

--- The client of a buffer, or nil.
function M.client(buffer)
  return vim.lsp.get_clients({ name = M.NAME, bufnr = buffer or 0 })[1]
end

--- The part of a suggestion to the right of the cursor; nil if the cursor has moved away or the typed text differs from it.
local function remaining_text(item)
  local text = item.insert_text
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  local start_row, start_column = item.range:to_extmark()
  local typed = vim.api.nvim_get_current_line():sub(start_column + 1, column)
  if start_row == row - 1 and start_column <= column and vim.startswith(text, typed) then
    return text:sub(#typed + 1)
  end
end

--- Insert the part of the ghost text that `select_part` returns for its remaining text. Returns false if there is no ghost text. If
--- the ghost text is out of date, types `key` instead: Neovim keeps its last suggestion until the next answer arrives.
local function accept_part(select_part, key)
  return vim.lsp.inline_completion.get({
    on_accept = function(item)
      if type(item.insert_text) ~= "string" or not item.range then
        return item -- of another server
      end
      local remaining = remaining_text(item)
      if not remaining then
        vim.api.nvim_feedkeys(vim.keycode(key or ""), "n", false)
        return nil
      end
      local part = select_part(remaining)
      if part == remaining then
        return item -- accepts all that is left: the range of the item may cover brackets after the cursor
      end
      local row, column = unpack(vim.api.nvim_win_get_cursor(0))
      local lines = vim.split(part, "\n", { plain = true })
      vim.api.nvim_buf_set_text(0, row - 1, column, row - 1, column, lines)
      vim.api.nvim_win_set_cursor(0, { row + #lines - 1, (#lines == 1 and column or 0) + #lines[#lines] })
      return nil
    end,
  })
end

--- Accept the whole suggestion.
M.accept = function(key)
  return accept_part(function(remaining)
    return remaining
  end, key)
end

--- Accept the next word, or the next run of punctuation, with the whitespace before it.
M.accept_word = function(key)
  return accept_part(function(remaining)
    local word = vim.fn.matchstr(remaining, [[^\_s*\%(\k\+\|\%(\k\@!\S\)\+\)]])
    return word ~= "" and word or remaining
  end, key)
end

--- Accept up to the end of the line; if the ghost text starts with a line break, the whole next line.
M.accept_line = function(key)
  return accept_part(function(remaining)
    local line_end = remaining:find("\n", 2, true)
    return line_end and remaining:sub(1, line_end - 1) or remaining
  end, key)
end

--- Show another suggestion; requests more of them if there is only one.
M.next = function()
  require("starcoder.candidates").select(1)
  return true
end

M.previous = function()
  require("starcoder.candidates").select(-1)
  return true
end

--- Request suggestions at the cursor, also where the settings allow none while typing.
M.trigger = function()
  require("starcoder.candidates").trigger()
  return true
end

--- Hide the ghost text; the next key requests a new suggestion.
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
  trigger = { M.trigger, "Request suggestions" },
  dismiss = { M.dismiss, "Hide the suggestion" },
}

local function map(name, key)
  local handler = HANDLERS[name]
  assert(handler, ("starcoder: there is no map %q; there are %s"):format(name, table.concat(vim.tbl_keys(HANDLERS), ", ")))
  vim.keymap.set("i", key, function()
    return handler[1](key) and "" or key
  end, { expr = true, desc = "StarCoder: " .. handler[2] })
end

--- Configure and enable the server; optional. `maps` is true for the default keys, or a table such as { accept = "<Tab>" }; without
--- `maps` no key is mapped. `next_edit` is true or a table of keys to show next edits, "sidekick" if sidekick.nvim shows them. All other options, such as `cmd`, are passed to |vim.lsp.config()|.
function M.setup(options)
  if vim.fn.has("nvim-0.12") == 0 then
    local found = vim.version()
    local text = ("Neovim 0.12 or newer is needed, and this is %d.%d, so there are no suggestions."):format(found.major, found.minor)
    vim.schedule(function()
      require("starcoder.message").show(text, vim.log.levels.WARN)
    end)
    return
  end
  local config = vim.deepcopy(options or {})
  local maps, next_edit = config.maps, config.next_edit
  config.maps, config.next_edit = nil, nil
  if next_edit == "sidekick" then
    M.NAME = "starcoder_copilot" -- sidekick.nvim uses clients whose name contains "copilot"
  elseif next_edit then
    require("starcoder.next_edit").enable(next_edit)
  end
  if next(config) then
    vim.lsp.config(M.NAME, config)
  end
  vim.lsp.enable(M.NAME)
  vim.lsp.inline_completion.enable()
  vim.schedule(require("starcoder.status").check_program)
  for name, key in pairs(maps == true and MAPS or maps or {}) do
    map(name, key)
  end
end

--- Text for the status line: what the server is doing, or its model, device and adapters.
function M.statusline()
  return require("starcoder.status").line()
end

return M
