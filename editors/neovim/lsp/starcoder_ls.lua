-- A client is a table: what it does is Neovim's own, but for showing text and asking for a line, which only an editor can do.
return {
  cmd = { "starcoder-ls", "serve" },
  root_markers = { ".git" },
  -- No filetypes: the model has seen most languages. Name some to have it there only.
  capabilities = { experimental = { starcoderInstruct = true, starcoderStatus = true } },
  commands = {
    ["starcoder.explain"] = function(command, context)
      require("starcoder.answer").run(command.arguments[1], command.title, context)
    end,
    ["starcoder.instruct"] = function(command, context)
      require("starcoder.actions").instruct(command, context)
    end,
  },
  handlers = {
    ["starcoder/status"] = function(_, status, context)
      require("starcoder.status").heard(context.client_id, status)
    end,
  },
  on_init = function(client)
    require("starcoder.status").started(client)
  end,
  on_exit = function(code, signal, client_id)
    require("starcoder.status").exited(code, signal, client_id)
  end,
}
