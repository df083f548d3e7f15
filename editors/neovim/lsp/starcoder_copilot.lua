-- The same server under a name that contains "copilot", for plug-ins that show next edits of such clients only (sidekick.nvim). One of
-- the two configurations is enabled, not both.
return dofile(vim.api.nvim_get_runtime_file("lsp/starcoder_ls.lua", false)[1])
