-- The configuration of the language client. Neovim implements LSP; the commands here show text and ask the user for a line.
return {
  cmd = { "starcoder-ls", "serve" },
  root_markers = { ".git" },
  -- Without `filetypes` the server is started for every file; set them to restrict it.
  capabilities = {
    experimental = { starcoderInstruct = true, starcoderStatus = true },
    -- Without "edit": edits are commands, which run below and show a preview.
    textDocument = { codeAction = { resolveSupport = { properties = { "command" } } } },
  },
  commands = {
    ["starcoder.explain"] = function(command, context)
      require("starcoder.answer").run(command.arguments[1], command.title, context)
    end,
    ["starcoder.act"] = function(command, context)
      require("starcoder.actions").act(command, context)
    end,
    ["starcoder.instruct"] = function(command, context)
      require("starcoder.actions").instruct(command, context)
    end,
  },
  handlers = {
    ["starcoder/status"] = function(_, status, context)
      require("starcoder.status").on_status(context.client_id, status)
    end,
  },
  on_init = function(client)
    require("starcoder.status").on_start(client)
  end,
  on_exit = function(code, signal, client_id)
    require("starcoder.status").on_exit(code, signal, client_id)
  end,
}
