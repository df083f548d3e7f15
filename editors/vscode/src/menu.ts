// The menu of the status item: what can be done in the present state of the server, most useful first.
import * as vscode from 'vscode';
import { Server } from './server';
import { isExcluded, isPaused, statusText } from './status';

interface Entry extends vscode.QuickPickItem { command: string }

const entry = (label: string, command: string): Entry => ({ label, command });
const RESTART = entry('$(debug-restart) Restart the server', 'starcoder.restart');
const LOG = entry('$(output) Show the log', 'starcoder.showLog');
const SETTINGS = entry('$(gear) Open the settings', 'starcoder.openSettings');
const MODEL = entry('$(package) Choose a model', 'starcoder.chooseModel');

/** Show the menu and run the chosen command. */
export async function showMenu(server: Server): Promise<void> {
  const { detail } = statusText(server.state);
  const chosen = await vscode.window.showQuickPick(entriesFor(server), { title: 'StarCoder', placeHolder: detail.replace(/\n/g, ' ') });
  if (chosen) {
    await vscode.commands.executeCommand(chosen.command);
  }
}

function entriesFor({ state, invalidSettingsFile }: Server): Entry[] {
  switch (state.kind) {
    case 'missing': return [
      entry('$(book) Show how to install it', 'starcoder.showInstallation'),
      entry('$(file-symlink-file) Set the path of the program', 'starcoder.setCommand'),
      entry('$(refresh) Search again', 'starcoder.restart'),
    ];
    case 'starting': return [LOG, RESTART, SETTINGS];
    case 'stopped': return [RESTART, LOG, MODEL, SETTINGS];
  }
  if (invalidSettingsFile) {
    return [entry('$(go-to-file) Open the settings file', 'starcoder.openSettingsFile'), LOG, RESTART];
  }
  switch (state.status.phase) {
    case 'failed': case 'closed': return [MODEL, LOG, RESTART, SETTINGS];
    case 'loading': return [...pauseEntries(), MODEL, LOG, RESTART, SETTINGS];
  }
  return [
    ...pauseEntries(), MODEL,
    entry('$(layers) Choose adapters', 'starcoder.chooseAdapter'),
    entry('$(dashboard) Show latency', 'starcoder.showLatency'),
    entry('$(eye) Show what the model sees here', 'starcoder.showPrompt'),
    SETTINGS, LOG, RESTART,
  ];
}

function pauseEntries(): Entry[] {
  const configuration = vscode.workspace.getConfiguration('starcoder.inline_completion');
  if (!configuration.get<boolean>('enabled', true)) {
    return [entry('$(play) Resume suggestions', 'starcoder.pause')];
  }
  const language = vscode.window.activeTextEditor?.document.languageId;
  return [
    entry('$(debug-pause) Pause suggestions', 'starcoder.pause'),
    ...(language && !isExcluded(language) ? [entry(isPaused(language) ? `$(play) Resume suggestions for ${language}` : `$(debug-pause) Pause suggestions for ${language}`, 'starcoder.pauseLanguage')] : []),
  ];
}
