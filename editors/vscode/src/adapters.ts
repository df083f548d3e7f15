// Attaching and detaching adapters. The setting `starcoder.adapters` lists them; the server loads what the setting lists.
import * as vscode from 'vscode';
import { Server } from './server';

interface ResidentAdapter { name: string; method: string; source: string; memoryBytes: number; tasks: string[] }

type AdapterSettings = Record<string, { path: string; tasks?: string[] }>;

const NAME = /^[A-Za-z0-9_-]{1,64}$/; // settings.ADAPTER_NAME

export async function chooseAdapter(server: Server): Promise<void> {
  const resident = await server.execute<ResidentAdapter[]>('starcoder.listAdapters', undefined);
  const remove: vscode.QuickInputButton = { iconPath: new vscode.ThemeIcon('trash'), tooltip: 'Detach' };
  const pick = vscode.window.createQuickPick<vscode.QuickPickItem & { name?: string }>();
  pick.title = 'StarCoder: loaded adapters';
  pick.items = [
    ...resident.map((adapter) => ({
      name: adapter.name,
      label: `$(layers) ${adapter.name}`,
      description: adapter.tasks.join(', ') || 'not used by your settings',
      detail: `${adapter.method} · ${adapter.source} · ${(adapter.memoryBytes / 1024 / 1024).toFixed(1)} MiB`,
      buttons: [remove],
    })),
    { label: '$(add) Attach another…', alwaysShow: true },
  ];
  pick.onDidTriggerItemButton(({ item }) => {
    pick.hide();
    void detach(server, item.name ?? '').then(undefined, (error) => vscode.window.showErrorMessage(`StarCoder: ${String(error)}`));
  });
  pick.onDidAccept(() => {
    const chosen = pick.selectedItems[0];
    pick.hide();
    if (chosen && !chosen.name) {
      void attach();
    }
  });
  pick.onDidHide(() => pick.dispose());
  pick.show();
}

async function attach(): Promise<void> {
  const path = await vscode.window.showInputBox({ prompt: 'Folder or Hugging Face Hub id of the adapter', placeHolder: 'bigcode/astraios-7b-parallel', ignoreFocusOut: true });
  if (!path) {
    return;
  }
  const name = await vscode.window.showInputBox({
    prompt: 'Name of the adapter', value: (path.split(/[\\/]/).filter(Boolean).at(-1) ?? '').replace(/[^A-Za-z0-9_-]/g, '-').slice(0, 64), ignoreFocusOut: true,
    validateInput: (text) => (NAME.test(text) ? undefined : 'Use letters, digits, - and _, at most 64 characters.'),
  });
  if (!name) {
    return;
  }
  const completion = { label: 'Completion', task: 'completion' };
  const codeActions = { label: 'Actions on code: explain, document, fix, …', task: 'instruct', picked: true };
  const tasks = await vscode.window.showQuickPick([completion, codeActions], { title: 'What is the adapter used for?', canPickMany: true });
  if (tasks?.length) {
    await update((adapters) => ({ ...adapters, [name]: { path, tasks: tasks.map(({ task }) => task) } }));
  }
}

async function detach(server: Server, name: string): Promise<void> {
  await server.execute('starcoder.detachAdapter', { name });
  await update(({ [name]: _, ...others }) => others);
}

async function update(change: (adapters: AdapterSettings) => AdapterSettings): Promise<void> {
  const configuration = vscode.workspace.getConfiguration('starcoder');
  await configuration.update('adapters', change(configuration.get<AdapterSettings>('adapters', {})), vscode.ConfigurationTarget.Global);
}
