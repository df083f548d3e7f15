// The server process of this window and its client: start, restart, settings, requests.
// A change of `server`, `model` or `remote` settings, or a removed setting, starts a new process; other changes are sent to the server.
import * as vscode from 'vscode';
import { LanguageClient, LanguageClientOptions, State } from 'vscode-languageclient/node';
import { findServer } from './discovery';
import { notebookMiddleware } from './notebooks';
import { provideInlineCompletionItems } from './pause';
import { ServerProcess } from './serverProcess';
import { hasRemovedSetting, settingsTree, Tree } from './settings';

const LOADING_TOKEN = 'starcoder-ls/loading'; // of the server's progress while it loads the model

export interface Status {
  phase: 'loading' | 'ready' | 'working' | 'failed' | 'closed';
  message: string;
  model: string;
  device: string;
  progress: number;
  /** The file that the user must correct before the server can load a model. */
  settingsFile?: string;
  adapters: { name: string; method: string; source: string; memoryBytes: number }[];
}

/** What the status item shows: the status that the server sent, or the state of its process. */
export type ServerState = { kind: 'starting' | 'missing' } | { kind: 'stopped'; reason: string } | { kind: 'running'; status: Status };

/** A client whose start may be ended on purpose, without a message. */
class Client extends LanguageClient {
  isEnded = false;

  override error(message: string, data?: unknown, showNotification?: boolean | 'force'): void {
    super.error(message, data, this.isEnded ? false : showNotification);
  }
}

export class Server {
  private client: Client | undefined;
  private readonly process = new ServerProcess((message, isRestarted) => void this.showCrash(message, isRestarted));
  private sentSettings: Tree = {};
  private currentState: ServerState = { kind: 'starting' };
  private readonly changed = new vscode.EventEmitter<ServerState>();
  private restarting: Promise<void> = Promise.resolve();
  private shownSettingsError = '';
  private isChanging = false;
  readonly onDidChange = this.changed.event;
  readonly log = vscode.window.createOutputChannel('StarCoder', { log: true });

  constructor(
    private readonly settingKeys: string[],
    private readonly intercepted: Map<string, (...args: any[]) => unknown>,
  ) {}

  /** Find and start the server, after stopping the running one. */
  restart(): Promise<void> {
    if (this.client?.state === State.Starting) {
      this.client.isEnded = true;
      this.process.kill(); // a program that is no language server would never answer, and its start would never end
    }
    this.restarting = this.restarting.then(() => this.stop()).then(() => this.start()).catch((error) => {
      this.log.error(String(error));
      this.setState({ kind: 'stopped', reason: String(error) });
    });
    return this.restarting;
  }

  /** Run `change`, which changes settings, then start one new server. */
  async restartAfter(change: () => Promise<void>): Promise<void> {
    this.isChanging = true;
    await change().finally(() => { this.isChanging = false; });
    await this.restart();
  }

  async stop(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    if (client?.needsStop()) {
      await client.stop().catch((error) => this.log.warn(String(error)));
    }
    this.process.end();
    await client?.dispose().catch(() => undefined);
  }

  get state(): ServerState {
    return this.currentState;
  }

  /** The running client. Throws an error with a message for the user if no server is running. */
  get running(): LanguageClient {
    if (!this.client?.isRunning()) {
      throw new Error('The StarCoder server is not running. The log contains the reason (StarCoder: Show Log).');
    }
    return this.client;
  }

  /** Send `workspace/executeCommand` directly, not through the VS Code command of the same name. */
  execute<R>(command: string, argument: unknown, token?: vscode.CancellationToken): Promise<R> {
    const params = { command, arguments: argument === undefined ? [] : [argument] };
    // An undefined token would be sent as a second parameter.
    return token
      ? this.running.sendRequest<R>('workspace/executeCommand', params, token)
      : this.running.sendRequest<R>('workspace/executeCommand', params);
  }

  /** Send changed settings to the server, or start a new one if the change needs it. */
  async onConfigurationChange(event: vscode.ConfigurationChangeEvent): Promise<void> {
    if (this.isChanging || !event.affectsConfiguration('starcoder')) {
      return;
    }
    const settings = settingsTree(this.settingKeys);
    const needsNewProcess = ['server', 'model', 'remote'].some((section) => event.affectsConfiguration(`starcoder.${section}`));
    if (needsNewProcess || hasRemovedSetting(this.sentSettings, settings) || !this.client?.isRunning()) {
      await this.restart();
      return;
    }
    this.sentSettings = settings;
    await this.client.sendNotification('workspace/didChangeConfiguration', { settings: { starcoder: settings } });
  }

  private async start(): Promise<void> {
    const command = await findServer();
    if (!command) {
      this.setState({ kind: 'missing' });
      void this.showInstallHelp();
      return;
    }
    this.log.info(`Starting ${command.program} ${command.arguments.join(' ')} (from ${command.foundIn})`);
    this.setState({ kind: 'starting' });
    const client = new Client('starcoder', 'StarCoder', () => this.process.start(command), this.options());
    this.client = client;
    client.registerFeature({
      fillClientCapabilities: (capabilities) => {
        capabilities.experimental = { ...capabilities.experimental, starcoderStatus: true, starcoderInstruct: true };
        // Edits become the command `starcoder.act`, which the extension runs with a preview.
        Object.assign(capabilities.textDocument?.codeAction ?? {}, { resolveSupport: { properties: ['command'] } });
      },
      initialize: () => undefined,
      getState: () => ({ kind: 'static' }),
      clear: () => undefined,
    });
    client.onNotification('starcoder/status', (status: Status) => {
      if (client === this.client) {
        this.setState({ kind: 'running', status });
        void this.showSettingsError(status);
      }
    });
    client.onDidChangeState(({ newState }) => {
      if (client === this.client && newState !== State.Running) {
        this.setState(newState === State.Starting ? { kind: 'starting' } : { kind: 'stopped', reason: this.process.reason });
      }
    });
    await client.start();
    await client.setTrace(traceLevel());
  }

  private options(): LanguageClientOptions {
    return {
      documentSelector: [{ scheme: 'file' }, { scheme: 'untitled' }, { notebook: 'jupyter-notebook' }],
      outputChannel: this.log,
      initializationOptions: () => {
        this.sentSettings = settingsTree(this.settingKeys);
        return this.sentSettings;
      },
      initializationFailedHandler: () => false,
      errorHandler: this.process,
      middleware: {
        provideInlineCompletionItems,
        notebooks: notebookMiddleware,
        // The status item shows how far loading is.
        handleWorkDoneProgress: (token, params, next) => {
          if (token !== LOADING_TOKEN) {
            next(token, params);
          }
        },
        executeCommand: (command, args, next) => {
          const replacement = this.intercepted.get(command);
          return replacement ? replacement(...args) : next(command, args);
        },
      },
    };
  }

  private setState(state: ServerState): void {
    this.currentState = state;
    this.changed.fire(state);
  }

  /** Show each error of the settings file once, with a button that opens the file. */
  private async showSettingsError({ message, settingsFile }: Status): Promise<void> {
    if (!settingsFile) {
      this.shownSettingsError = '';
      return;
    }
    if (message !== this.shownSettingsError) {
      this.shownSettingsError = message;
      const open = 'Open Settings File';
      if (await vscode.window.showErrorMessage(`StarCoder: ${message}`, open) === open) {
        await this.openSettingsFile();
      }
    }
  }

  /** The settings file that must be corrected; undefined if the settings are valid. */
  get invalidSettingsFile(): string | undefined {
    return this.state.kind === 'running' ? this.state.status.settingsFile : undefined;
  }

  /** Open the settings file that must be corrected; it may not exist yet. */
  async openSettingsFile(): Promise<void> {
    const file = this.invalidSettingsFile;
    if (file) {
      const uri = vscode.Uri.file(file);
      const exists = await vscode.workspace.fs.stat(uri).then(() => true, () => false);
      await vscode.window.showTextDocument(exists ? uri : uri.with({ scheme: 'untitled' }));
    }
  }

  private async showCrash(message: string, isRestarted: boolean): Promise<void> {
    const [show, restart] = ['Show Log', 'Restart Server'];
    const chosen = isRestarted
      ? await vscode.window.showWarningMessage(`StarCoder: ${message}`, show)
      : await vscode.window.showErrorMessage(`StarCoder: ${message}`, restart, show);
    if (chosen) {
      await vscode.commands.executeCommand(chosen === show ? 'starcoder.showLog' : 'starcoder.restart');
    }
  }

  private async showInstallHelp(): Promise<void> {
    const showHelp = 'Show How to Install';
    const setPath = 'Set Its Path';
    const chosen = await vscode.window.showWarningMessage(
      'StarCoder: starcoder-ls was not found in the active Python environment, on the PATH or where uv and pipx install it.', showHelp, setPath);
    if (chosen) {
      await vscode.commands.executeCommand(chosen === showHelp ? 'starcoder.showInstallation' : 'starcoder.setCommand');
    }
  }
}

function traceLevel() {
  const level = vscode.workspace.getConfiguration('starcoder').get<string>('server.trace', 'off');
  return level === 'verbose' ? 2 : level === 'messages' ? 1 : 0;
}
