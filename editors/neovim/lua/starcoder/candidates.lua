-- The requests for suggestions: which automatic ones are paused, and requests for further candidates. Neovim requests one suggestion
-- while the user types and has no function to request more; its answer to such a request is used for ours too.
local M = {}

local METHOD = "textDocument/inlineCompletion"
local INVOKED = vim.lsp.protocol.InlineCompletionTriggerKind.Invoked

local handlers = {} -- buffer -> what shows the items of an answer
local answers = {} -- buffer -> the last answer: { items, is_invoked, position }
local waiting = {} -- buffer -> what to do with the answer to the next request

local function position_in(buffer)
  return { vim.api.nvim_buf_get_changedtick(buffer), unpack(vim.api.nvim_win_get_cursor(0)) }
end

local function current_answer(buffer)
  local answer = answers[buffer]
  return answer and vim.deep_equal(answer.position, position_in(buffer)) and answer or nil
end

--- Whether a completion menu is open: Neovim's, or that of a widely used plug-in.
local function is_menu_open()
  for _, name in ipairs({ "cmp", "blink.cmp" }) do
    local plugin = package.loaded[name]
    local is_visible = type(plugin) == "table" and (plugin.visible or plugin.is_visible)
    if is_visible and is_visible() then
      return true
    end
  end
  return vim.fn.pumvisible() == 1
end

--- Whether the setting `pause_while` of the client applies. In insert mode no text is selected.
local function is_paused(client)
  local states = vim.tbl_get(client.config, "init_options", "inline_completion", "pause_while") or {}
  return vim.list_contains(states, "menu") and is_menu_open()
end

--- Send the request `params`, remember its answer, then show it with `handler`.
local function forward(send, client, params, handler, buffer)
  local is_invoked, on_shown = params.context.triggerKind == INVOKED, waiting[buffer]
  local position = position_in(buffer)
  waiting[buffer] = nil
  return send(client, METHOD, params, function(failure, result, context)
    local before = answers[buffer]
    if result then
      answers[buffer] = { items = result.items or result, is_invoked = is_invoked, position = position }
    end
    handler(failure, result, context)
    if on_shown and result then
      on_shown(answers[buffer].items, before)
    end
  end, buffer)
end

--- Let the requests of `client` for suggestions pass through this module.
function M.observe(client)
  local send = client.request
  client.request = function(self, method, params, handler, buffer)
    if method ~= METHOD or not handler or not buffer or buffer ~= vim.api.nvim_get_current_buf() then
      return send(self, method, params, handler, buffer)
    end
    handlers[buffer] = handler
    if params.context.triggerKind ~= INVOKED then
      local answer = current_answer(buffer)
      if is_paused(self) then
        require("starcoder").dismiss()
        return true
      elseif answer and answer.is_invoked and #answer.items > 0 then
        return true -- its candidates stay on the screen
      elseif waiting[buffer] then
        params.context.triggerKind = INVOKED
      end
    end
    return forward(send, self, params, handler, buffer)
  end
end

--- Request the candidates at the cursor and show the first; then call `on_shown` with all of them and the answer before.
local function request(buffer, on_shown)
  local client = require("starcoder").client(buffer)
  if not client then
    return
  end
  waiting[buffer] = on_shown
  local handler = handlers[buffer]
  if not handler then
    return -- Neovim's first request, 0.2 s after insert mode was entered, becomes ours
  end
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  params.context = { triggerKind = INVOKED }
  client:request(METHOD, params, handler, buffer)
end

--- Show the candidate that is `count` after the one on the screen. Requests candidates if there is only one suggestion.
function M.select(count)
  local buffer = vim.api.nvim_get_current_buf()
  local answer = current_answer(buffer)
  if answer and #answer.items > 1 then
    return vim.lsp.inline_completion.select({ count = count })
  end
  request(buffer, function(items, before)
    local shown = before and before.items[1] and before.items[1].insertText
    if #items > 1 and items[1].insertText == shown then
      vim.lsp.inline_completion.select({ count = count })
    elseif #items < 2 then
      require("starcoder.message").show(#items == 0 and "there is no suggestion here" or "there is no other suggestion")
    end
  end)
end

--- Request suggestions at the cursor, also where the settings allow none while typing.
function M.trigger()
  request(vim.api.nvim_get_current_buf(), function(items)
    if #items == 0 then
      require("starcoder.message").show("there is no suggestion here")
    end
  end)
end

--- Request a suggestion for text that was typed before the server could answer: Neovim requests one when the cursor moves only.
function M.request_when_ready(client_id)
  vim.schedule(function()
    local buffer = vim.api.nvim_get_current_buf()
    if vim.startswith(vim.api.nvim_get_mode().mode, "i") and vim.lsp.buf_is_attached(buffer, client_id) then
      vim.api.nvim_exec_autocmds("CursorMovedI", { buffer = buffer, modeline = false })
    end
  end)
end

local group = vim.api.nvim_create_augroup("starcoder.candidates", {})

vim.api.nvim_create_autocmd("LspAttach", {
  group = group,
  callback = function(event)
    local client = vim.lsp.get_client_by_id(event.data.client_id)
    if client and client.name == require("starcoder").NAME then
      M.request_when_ready(client.id)
    end
  end,
})

vim.api.nvim_create_autocmd("BufWipeout", {
  group = group,
  callback = function(event)
    handlers[event.buf], answers[event.buf], waiting[event.buf] = nil, nil, nil
  end,
})

return M
