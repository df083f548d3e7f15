if vim.g.loaded_starcoder or vim.fn.has("nvim-0.12") == 0 then -- `setup` says what is needed
  return
end
vim.g.loaded_starcoder = true

vim.api.nvim_create_autocmd({ "BufReadPost", "BufNewFile" }, {
  group = vim.api.nvim_create_augroup("starcoder", {}),
  once = true,
  callback = vim.schedule_wrap(function()
    require("starcoder.status").check_program()
  end),
})

vim.api.nvim_create_user_command("Starcoder", function(ex)
  require("starcoder.command").run(ex)
end, {
  nargs = "+",
  range = true,
  complete = function(lead, line)
    return require("starcoder.command").complete(lead, line)
  end,
  desc = "StarCoder: explain, pause, restart, … (:help :Starcoder)",
})
