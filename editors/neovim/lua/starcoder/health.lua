-- :checkhealth starcoder. Each reported problem comes with a remedy.
local M = {}

local function check_neovim()
  if vim.fn.has("nvim-0.12") == 1 then
    vim.health.ok("Neovim " .. tostring(vim.version()))
  else
    vim.health.error("Neovim is older than 0.12, which has no inline completion", "Install Neovim 0.12 or newer.")
  end
end

--- Whether the server program can be started.
local function check_program()
  local command = (vim.lsp.config[require("starcoder").NAME] or {}).cmd
  if type(command) ~= "table" then
    vim.health.info("The server is started by a function in your configuration.")
    return true
  end
  if require("starcoder.status").missing_program() then
    vim.health.error(("There is no program %s"):format(command[1]), {
      "Install it: `uv tool install starcoder-ls`, or `make demo` in a clone, as .venv/bin/starcoder-ls.",
      "Then run `starcoder-ls editor neovim`, which prints the right `cmd`.",
    })
    return false
  end
  vim.health.ok("Server: " .. vim.fn.exepath(command[1]))
  return true
end

local function check_server(client)
  local answer = client:request_sync("starcoder/status", vim.empty_dict(), 2000)
  local status = answer and answer.result
  if not status then
    return vim.health.error("The server does not answer", { "Restart it: :Starcoder restart", "Read the log: :Starcoder log" })
  end
  if status.phase == "failed" then
    local advice = status.settingsFile and ":Starcoder settings opens the file; the server reads it again when you save it." or "Run `starcoder-ls doctor` in a terminal."
    vim.health.error("The model could not be loaded: " .. status.message, advice)
  elseif status.phase == "loading" then
    vim.health.warn(("The model is loading: %d %%"):format(status.progress * 100), "Wait until it is ready.")
  else
    vim.health.ok(("Model %s on %s is %s"):format(status.model, status.device, status.phase))
    if status.message ~= "" then
      vim.health.warn(status.message)
    end
  end
  for _, adapter in ipairs(status.adapters or {}) do
    vim.health.ok(("Adapter %s (%s, %s)"):format(adapter.name, adapter.method, adapter.source))
  end
end

function M.check()
  vim.health.start("starcoder")
  check_neovim()
  if not check_program() then
    return
  end
  if not vim.lsp.is_enabled(require("starcoder").NAME) then
    vim.health.error("The server is not enabled", 'Add to your init.lua: require("starcoder").setup({ maps = true })')
  end
  if vim.lsp.inline_completion.is_enabled() then
    vim.health.ok("Inline completion is enabled")
  else
    vim.health.warn("Inline completion is not enabled", "vim.lsp.inline_completion.enable()")
  end
  local client = vim.lsp.get_clients({ name = require("starcoder").NAME })[1]
  if client then
    check_server(client)
  else
    vim.health.warn("No server is running", "Open a file from disk. If no server starts, read the log: :Starcoder log")
  end
end

return M
