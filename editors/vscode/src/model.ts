// Choosing the model: shows the list of `starcoder-ls setup`, asks before anything is downloaded or written, and restarts the server.
import * as vscode from 'vscode';
import { Server } from './server';
import { Failure, listModels, Model, ModelList, setUp } from './setup';

interface Choice extends vscode.QuickPickItem { choose?: () => Promise<Model | undefined> }

const OVERRIDING_KEYS = ['name', 'revision', 'tasks', 'template', 'quantization'];

/** Let the user choose a model, download it if necessary, and restart the server with it. */
export async function chooseModel(server: Server): Promise<void> {
  const listing = listModels();
  const placeHolder = 'actions: also explains and edits code · account: needs one on the Hub';
  const current = server.state.kind === 'running' ? server.state.status.model : '';
  const items: Promise<Choice[]> = listing.then((list) => choices(list, current));
  const chosen = await vscode.window.showQuickPick(items, { title: 'StarCoder: Choose Model', placeHolder, matchOnDescription: true });
  const model = await chosen?.choose?.();
  if (model) {
    await setUpWithConsent(server, model, (await listing).settingsFile);
  }
}

function choices({ models }: ModelList, current: string): Choice[] {
  const items: Choice[] = [];
  for (const model of models) {
    const group = groupOf(model);
    if (items.findLast((item) => item.kind === vscode.QuickPickItemKind.Separator)?.label !== group) {
      items.push({ label: group, kind: vscode.QuickPickItemKind.Separator });
    }
    items.push({
      label: `$(${iconOf(model)}) ${model.model}`,
      description: [model.model === current ? 'in use' : '', model.licence, model.remarks].filter(Boolean).join(' · '),
      detail: needs(model).join(' · '),
      choose: async () => model,
    });
  }
  return [
    ...items,
    { label: 'Others', kind: vscode.QuickPickItemKind.Separator },
    { label: '$(folder-opened) Folder…', detail: 'A checkpoint on this machine', choose: askForFolder },
    { label: '$(cloud) Hugging Face Hub…', detail: 'The id of another model, such as Qwen/Qwen2.5-Coder-3B', choose: askForHubId },
  ];
}

/** The heading above a model. It is short, because VS Code draws it beside the first model. */
function groupOf({ problem, needsAccount }: Model): string {
  return problem ? 'Does not fit' : needsAccount ? 'Needs an account' : 'Fits this machine';
}

function iconOf({ problem, needsAccount, downloaded }: Model): string {
  return problem ? 'warning' : needsAccount ? 'lock' : downloaded ? 'package' : 'cloud-download';
}

/** What a model takes, for its second line and the question. */
function needs({ downloaded, downloadBytes, memoryBytes, quantization, msPerToken }: Model): string[] {
  return [
    downloaded ? 'on this machine' : `${size(downloadBytes)} download`,
    ...(memoryBytes ? [`${size(memoryBytes)} memory`] : []),
    ...(quantization === 'none' ? [] : [quantization]),
    ...(msPerToken ? [`about ${Math.round(msPerToken)} ms per token`] : []),
  ];
}

function size(bytes: number): string {
  return bytes >= 1e8 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`;
}

/** A model that is not in the list: `setup` finds out what it needs. */
function other(model: string): Model {
  return {
    model, quantization: 'none', adapter: null, licence: '', remarks: '', problem: '',
    downloadBytes: 0, memoryBytes: 0, msPerToken: null, needsAccount: false, downloaded: false,
  };
}

async function askForFolder(): Promise<Model | undefined> {
  const [folder] = await vscode.window.showOpenDialog({ canSelectFolders: true, canSelectFiles: false, openLabel: 'Use This Model' }) ?? [];
  return folder && { ...other(folder.fsPath), downloaded: true };
}

async function askForHubId(): Promise<Model | undefined> {
  const name = await vscode.window.showInputBox({ prompt: 'Id of the model on the Hugging Face Hub', placeHolder: 'bigcode/starcoderbase-1b', ignoreFocusOut: true });
  return name ? other(name.trim()) : undefined;
}

async function setUpWithConsent(server: Server, model: Model, settingsFile: string): Promise<void> {
  const overriding = overridingSettings();
  const detail = [
    ...(model.problem ? [`It ${model.problem}, more than is free, and will probably not load.`] : []),
    ...(model.licence ? [`Licence: ${model.licence}.`] : []),
    ...(model.adapter ? [`With the adapter ${model.adapter}, which explains and edits code.`] : []),
    `${settingsFile}, which all editors read, is changed, and the server restarts.`,
    ...(overriding.length ? [`These settings of VS Code are removed, because they would override the file: ${overriding.map((key) => `starcoder.model.${key}`).join(', ')}.`] : []),
  ].join('\n\n');
  const [question, agree] = model.downloaded ? [`Use ${model.model}?`, 'Use']
    : [`Download ${model.model}${model.downloadBytes ? ` (${size(model.downloadBytes)})` : ''}?`, 'Download'];
  if (await vscode.window.showInformationMessage(question, { modal: true, detail }, agree) !== agree) {
    return;
  }
  const failure = await setUpWithProgress(model.model);
  if (failure === 'cancelled') {
    void vscode.window.showInformationMessage(`StarCoder: the download was stopped. It continues there when you choose ${model.model} again.`);
  } else if (failure) {
    await showFailure(failure, () => setUpWithConsent(server, model, settingsFile));
  } else {
    await server.restartAfter(async () => {
      for (const key of overriding) {
        await vscode.workspace.getConfiguration('starcoder.model').update(key, undefined, vscode.ConfigurationTarget.Global);
      }
    });
  }
}

/** The settings of VS Code, under `starcoder.model`, that would override the settings file. */
function overridingSettings(): string[] {
  const configuration = vscode.workspace.getConfiguration('starcoder.model');
  return OVERRIDING_KEYS.filter((key) => configuration.inspect(key)?.globalValue !== undefined);
}

async function setUpWithProgress(model: string): Promise<Failure | 'cancelled' | undefined> {
  const options = { location: vscode.ProgressLocation.Notification, title: 'StarCoder', cancellable: true };
  return vscode.window.withProgress(options, async (progress, token) => {
    let percent = 0;
    const failure = await setUp(model, (fraction, message) => {
      progress.report({ message, increment: 100 * fraction - percent });
      percent = 100 * fraction;
    }, token);
    return failure && token.isCancellationRequested ? 'cancelled' : failure;
  });
}

/** Show why a model could not be set up, with what the user can do about it. */
async function showFailure(failure: Failure, retry: () => Promise<void>): Promise<void> {
  const { message, kind, page, login } = failure;
  const again = { title: 'Try Again', run: retry };
  const another = { title: 'Choose Another Model', run: () => vscode.commands.executeCommand('starcoder.chooseModel') };
  const openPage = { title: 'Open Licence Page', run: () => vscode.env.openExternal(vscode.Uri.parse(page ?? '')) };
  const logIn = { title: 'Log In', run: () => runInTerminal(login ?? '') };
  const remedies: { title: string; run: () => unknown }[] = {
    licence: [openPage, logIn, again], token: [logIn, again], disk: [another, again], connection: [again], other: [another],
  }[kind] ?? [another];
  const chosen = await vscode.window.showErrorMessage(`StarCoder: ${message}`, ...remedies);
  await chosen?.run();
  if (chosen === openPage || chosen === logIn) {
    await showFailure(failure, retry); // for Try Again
  }
}

function runInTerminal(command: string): void {
  const terminal = vscode.window.createTerminal({ name: 'StarCoder' });
  terminal.show();
  terminal.sendText(command);
}
