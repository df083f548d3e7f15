// Finds the server program: the setting, the active Python environment, the PATH, then the folder of pipx and uv.
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import * as vscode from 'vscode';

export interface Command { program: string; arguments: string[]; foundIn: string }

const NAME = process.platform === 'win32' ? 'starcoder-ls.exe' : 'starcoder-ls';

/** The command that starts the server, or null if there is none. Programs inside an untrusted folder are ignored. */
export async function findServer(): Promise<Command | null> {
  const [program, ...rest] = vscode.workspace.getConfiguration('starcoder').get<string[]>('server.command', []);
  if (program) {
    return { program, arguments: rest, foundIn: 'the setting starcoder.server.command' };
  }
  const python = await activePython();
  const folders: [string, string][] = [
    ...(python ? [[path.dirname(python), 'the active Python environment'] as [string, string]] : []),
    ...(process.env.PATH ?? '').split(path.delimiter).filter(path.isAbsolute).map((folder) => [folder, 'the PATH'] as [string, string]),
    [process.env.PIPX_BIN_DIR ?? path.join(os.homedir(), '.local', 'bin'), 'pipx'],
  ];
  for (const [folder, foundIn] of folders) {
    const file = path.join(folder, NAME);
    if (isProgram(file) && (vscode.workspace.isTrusted || !isInWorkspace(file))) {
      return { program: file, arguments: ['serve'], foundIn };
    }
  }
  return null;
}

/** The interpreter selected in the Python extension; null without the extension. */
async function activePython(): Promise<string | null> {
  const extension = vscode.extensions.getExtension('ms-python.python');
  if (!extension) {
    return null;
  }
  try {
    const api = await extension.activate();
    const found = await api.environments.resolveEnvironment(api.environments.getActiveEnvironmentPath());
    return found?.executable?.uri?.fsPath ?? null;
  } catch {
    return null; // an older Python extension without this API
  }
}

function isProgram(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

function isInWorkspace(file: string): boolean {
  return vscode.workspace.getWorkspaceFolder(vscode.Uri.file(fs.realpathSync(file))) !== undefined
    || vscode.workspace.getWorkspaceFolder(vscode.Uri.file(file)) !== undefined;
}
