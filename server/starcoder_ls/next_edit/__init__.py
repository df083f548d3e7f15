"""The edit that probably follows the user's last ones. No module here knows LSP or an engine."""
