// Choosing the model: the bundled one, a folder, a model of the Hub, or what `starcoder-ls setup` recommends for this machine.
import * as vscode from 'vscode';
import { findServer } from './discovery';

interface Choice extends vscode.QuickPickItem { choose: () => Promise<string | undefined> }

/** Let the user choose a model and write its name to the settings; the server then starts with it. */
export async function chooseModel(): Promise<void> {
  const configuration = vscode.workspace.getConfiguration('starcoder.model');
  const choices: Choice[] = [
    { label: '$(checklist) Compare models', detail: 'In a terminal: size, licence, speed on this machine, download (starcoder-ls setup)', choose: runSetup },
    { label: '$(package) Bundled model', detail: 'Small and fast; it needs no download', choose: async () => 'bundled' },
    { label: '$(folder-opened) Folder…', detail: 'A checkpoint on this machine', choose: askForFolder },
    { label: '$(cloud-download) Hugging Face Hub…', detail: 'Downloaded once, such as bigcode/starcoderbase-1b', choose: askForHubId },
  ];
  const title = `StarCoder: model (now ${configuration.get<string>('name', 'bundled')})`;
  const name = await (await vscode.window.showQuickPick(choices, { title }))?.choose();
  if (name) {
    await configuration.update('name', name, vscode.ConfigurationTarget.Global);
  }
}

async function runSetup(): Promise<undefined> {
  const command = await findServer();
  if (!command) {
    throw new Error('starcoder-ls was not found; install it first.');
  }
  const serve = command.arguments.indexOf('serve');
  const before = serve < 0 ? [] : command.arguments.slice(0, serve);
  vscode.window.createTerminal({ name: 'StarCoder', shellPath: command.program, shellArgs: [...before, 'setup'] }).show();
}

async function askForFolder(): Promise<string | undefined> {
  const [folder] = await vscode.window.showOpenDialog({ canSelectFolders: true, canSelectFiles: false, openLabel: 'Use This Model' }) ?? [];
  return folder?.fsPath;
}

async function askForHubId(): Promise<string | undefined> {
  return vscode.window.showInputBox({ prompt: 'Id of the model on the Hugging Face Hub', placeHolder: 'bigcode/starcoderbase-1b', ignoreFocusOut: true });
}
