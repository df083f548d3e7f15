// The user's settings as the tree that the server reads. Defaults are not sent: they would override the server's settings file.
import * as vscode from 'vscode';

export type Tree = { [key: string]: unknown };

const CLIENT_ONLY = 'starcoder.server.';

/** The settings that the user or the workspace has set, nested by section. `keys` are all settings of the extension. */
export function settingsTree(keys: string[]): Tree {
  const configuration = vscode.workspace.getConfiguration();
  const tree: Tree = {};
  for (const key of keys.filter((name) => !name.startsWith(CLIENT_ONLY))) {
    const values = configuration.inspect(key);
    if (values && [values.globalValue, values.workspaceValue, values.workspaceFolderValue].some((value) => value !== undefined)) {
      setPath(tree, key.split('.').slice(1), configuration.get(key));
    }
  }
  return tree;
}

/** Whether a setting of `before` is missing in `after`. Only a new server returns to the default of a removed setting. */
export function hasRemovedSetting(before: Tree, after: Tree): boolean {
  return Object.entries(before).some(([key, value]) =>
    !(key in after) || (isTree(value) && isTree(after[key]) && hasRemovedSetting(value, after[key])));
}

function setPath(tree: Tree, path: string[], value: unknown): void {
  const [key, ...rest] = path;
  if (key === undefined) {
    return;
  }
  if (rest.length === 0) {
    tree[key] = value;
    return;
  }
  tree[key] ??= {};
  setPath(tree[key] as Tree, rest, value);
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
