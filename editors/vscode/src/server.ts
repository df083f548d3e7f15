// The server as this window knows it: found, started, restarted, told of settings, asked.
// Decides when a new process is needed; refuses to know what its answers mean.
import * as vscode from 'vscode';
import { Executable, LanguageClient, LanguageClientOptions, State, TransportKind } from 'vscode-languageclient/node';
import { findServer } from './discovery';
import { isForgetful, settingsTree, Tree } from './settings';

export interface Status {
  phase: 'loading' | 'ready' | 'working' | 'failed' | 'closed';
  message: string;
  model: string;
  device: string;
  progress: number;
  adapters: { name: string; method: string; source: string; memoryBytes: number }[];
}

/** What the status item shows: the server's own word, or what this window knows without it. */
export type Situation = { kind: 'starting' | 'stopped' | 'missing' } | { kind: 'running'; status: Status };

export class Server {
  private client: LanguageClient | undefined;
  private sent: Tree = {};
  private situation: Situation = { kind: 'starting' };
  private readonly changed = new vscode.EventEmitter<Situation>();
  private restarting: Promise<void> = Promise.resolve();
  readonly onDidChange = this.changed.event;
  readonly log = vscode.window.createOutputChannel('StarCoder', { log: true });

  constructor(
    private readonly settingKeys: string[],
    private readonly intercepted: Map<string, (...given: any[]) => unknown>,
    private readonly help: vscode.Uri,
  ) {}

  /** Find and start the server; one that runs is stopped first. */
  restart(): Promise<void> {
    this.restarting = this.restarting.then(() => this.stop()).then(() => this.start()).catch((error) => {
      this.log.error(String(error));
      this.become({ kind: 'stopped' });
    });
    return this.restarting;
  }

  async stop(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    if (client?.needsStop()) {
      await client.stop().catch((error) => this.log.warn(String(error)));
    }
    await client?.dispose().catch(() => undefined);
  }

  get now(): Situation {
    return this.situation;
  }

  /** The running client. Throws a sentence for the user where there is none. */
  get running(): LanguageClient {
    if (!this.client?.isRunning()) {
      throw new Error('The StarCoder server is not running. Its log says why (StarCoder: Show Log).');
    }
    return this.client;
  }

  /** `workspace/executeCommand`, without the command that VS Code made of it. */
  execute<R>(command: string, argument: unknown, token?: vscode.CancellationToken): Promise<R> {
    return this.running.sendRequest<R>('workspace/executeCommand', { command, arguments: argument === undefined ? [] : [argument] }, token);
  }

  /** Settings changed: tell the server, or start a new one where telling is not enough. */
  async follow(event: vscode.ConfigurationChangeEvent): Promise<void> {
    if (!event.affectsConfiguration('starcoder')) {
      return;
    }
    const now = settingsTree(this.settingKeys);
    const isNewProcess = ['server', 'model', 'log'].some((section) => event.affectsConfiguration(`starcoder.${section}`));
    if (isNewProcess || isForgetful(this.sent, now) || !this.client?.isRunning()) {
      await this.restart();
      return;
    }
    this.sent = now;
    await this.client.sendNotification('workspace/didChangeConfiguration', { settings: { starcoder: now } });
  }

  private async start(): Promise<void> {
    const command = await findServer();
    if (!command) {
      this.become({ kind: 'missing' });
      void this.tellHowToInstall();
      return;
    }
    this.log.info(`Starting ${command.program} ${command.arguments.join(' ')} (from ${command.foundIn})`);
    this.become({ kind: 'starting' });
    const executable: Executable = { command: command.program, args: command.arguments, transport: TransportKind.stdio };
    const client = new LanguageClient('starcoder', 'StarCoder', executable, this.options());
    this.client = client;
    client.registerFeature({
      fillClientCapabilities: (capabilities) => {
        capabilities.experimental = { ...capabilities.experimental, starcoderStatus: true, starcoderInstruct: true };
      },
      initialize: () => undefined,
      getState: () => ({ kind: 'static' }),
      clear: () => undefined,
    });
    client.onNotification('starcoder/status', (status: Status) => {
      if (client === this.client) {
        this.become({ kind: 'running', status });
      }
    });
    client.onDidChangeState(({ newState }) => {
      if (client === this.client && newState !== State.Running) {
        this.become({ kind: newState === State.Starting ? 'starting' : 'stopped' });
      }
    });
    await client.start();
    await client.setTrace(traceLevel());
  }

  private options(): LanguageClientOptions {
    return {
      documentSelector: [{ scheme: 'file' }, { scheme: 'untitled' }],
      outputChannel: this.log,
      initializationOptions: () => {
        this.sent = settingsTree(this.settingKeys);
        return this.sent;
      },
      initializationFailedHandler: () => false,
      middleware: {
        executeCommand: (command, given, next) => {
          const own = this.intercepted.get(command);
          return own ? own(...given) : next(command, given);
        },
      },
    };
  }

  private become(situation: Situation): void {
    this.situation = situation;
    this.changed.fire(situation);
  }

  private async tellHowToInstall(): Promise<void> {
    const how = 'Show How to Install';
    const set = 'Set Its Path';
    const chosen = await vscode.window.showWarningMessage(
      'There is no starcoder-ls in the active Python environment, on the PATH or under pipx.', how, set);
    if (chosen === how) {
      await vscode.commands.executeCommand('markdown.showPreview', this.help);
    } else if (chosen === set) {
      await vscode.commands.executeCommand('workbench.action.openSettings', 'starcoder.server.command');
    }
  }
}

function traceLevel() {
  const wanted = vscode.workspace.getConfiguration('starcoder').get<string>('server.trace', 'off');
  return wanted === 'verbose' ? 2 : wanted === 'messages' ? 1 : 0;
}
