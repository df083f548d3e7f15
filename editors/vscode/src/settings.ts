// What the user set, as the tree the server reads. A default is not sent: it would hide the server's own settings file.
import * as vscode from 'vscode';

export type Tree = { [key: string]: unknown };

const CLIENT_ONLY = 'starcoder.server.';

/** The settings that somebody set, nested by section. `keys` are all that the extension declares. */
export function settingsTree(keys: string[]): Tree {
  const configuration = vscode.workspace.getConfiguration();
  const tree: Tree = {};
  for (const key of keys.filter((name) => !name.startsWith(CLIENT_ONLY))) {
    const said = configuration.inspect(key);
    if (said && [said.globalValue, said.workspaceValue, said.workspaceFolderValue].some((value) => value !== undefined)) {
      put(tree, key.split('.').slice(1), configuration.get(key));
    }
  }
  return tree;
}

/** Whether `now` only adds to or alters what `before` said; what was said and is no more can only be forgotten by a new server. */
export function isForgetful(before: Tree, now: Tree): boolean {
  return Object.entries(before).some(([key, value]) =>
    !(key in now) || (isTree(value) && isTree(now[key]) && isForgetful(value, now[key])));
}

function put(tree: Tree, path: string[], value: unknown): void {
  const [key, ...rest] = path;
  if (key === undefined) {
    return;
  }
  if (rest.length === 0) {
    tree[key] = value;
    return;
  }
  tree[key] ??= {};
  put(tree[key] as Tree, rest, value);
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
