// The status bar item: how the status that the server sent is shown; pausing, and the latency.
import * as vscode from 'vscode';
import { Server, ServerState } from './server';

const MEBIBYTE = 1024 * 1024;
const MAX_ACTIVITY_CHARS = 48;

export class StatusItem {
  private readonly item = vscode.window.createStatusBarItem('starcoder.status', vscode.StatusBarAlignment.Right, 100);

  constructor(private readonly server: Server) {
    this.item.name = 'StarCoder';
    this.item.command = 'starcoder.menu';
    this.item.show();
  }

  register(subscriptions: vscode.Disposable[]): void {
    const update = () => this.update(this.server.state);
    subscriptions.push(
      this.item, this.server.onDidChange(update), vscode.window.onDidChangeActiveTextEditor(update),
      vscode.workspace.onDidChangeConfiguration(update));
    update();
  }

  private update(state: ServerState): void {
    const { text, detail, isProblem } = statusText(state);
    this.item.text = text;
    this.item.tooltip = detail;
    this.item.accessibilityInformation = { label: `StarCoder: ${text.replace(/\$\([^)]*\)\s*/g, '')}. ${detail}` };
    this.item.backgroundColor = isProblem ? new vscode.ThemeColor('statusBarItem.warningBackground') : undefined;
  }
}

interface StatusText { text: string; detail: string; isProblem?: boolean }

export function statusText(state: ServerState): StatusText {
  switch (state.kind) {
    case 'starting': return { text: '$(loading~spin) StarCoder: starting', detail: 'The server is starting.' };
    case 'stopped': return { text: '$(warning) StarCoder: stopped', detail: `The server is not running${state.reason ? ` (${state.reason})` : ''}.`, isProblem: true };
    case 'missing': return { text: '$(warning) StarCoder: not installed', detail: 'The program starcoder-ls was not found.', isProblem: true };
  }
  const { phase, message, model, device, progress, adapters } = state.status;
  const where = [model, device, ...adapters.map((adapter) => `adapter ${adapter.name} (${adapter.method || 'unknown method'}, ${Math.round(adapter.memoryBytes / MEBIBYTE)} MiB)`)];
  const detail = [...(message ? [message] : []), where.filter(Boolean).join(' · ')].join('\n');
  switch (phase) {
    case 'loading': return { text: `$(loading~spin) StarCoder: loading ${Math.round(progress * 100)} %${activity(message)}`, detail };
    case 'failed': case 'closed': return { text: `$(error) StarCoder: ${phase}`, detail, isProblem: true };
  }
  const exclusion = exclusionReason();
  if (exclusion) {
    return { text: `$(circle-slash) StarCoder: ${exclusion}`, detail };
  }
  const names = [shortName(model), device, ...adapters.map((adapter) => adapter.name)].join(' · ');
  return { text: `$(${phase === 'working' ? 'sync~spin' : message ? 'warning' : 'sparkle'}) ${names}`, detail };
}

/** What the server does while it loads, for the status bar: the beginning of its message. */
function activity(message: string): string {
  const sentence = message.split(/[.!] |[.!]$/)[0] ?? '';
  const text = sentence.charAt(0).toLowerCase() + sentence.slice(1);
  return text ? `, ${text.length > MAX_ACTIVITY_CHARS ? `${text.slice(0, MAX_ACTIVITY_CHARS - 1)}…` : text}` : '';
}

function shortName(model: string): string {
  return model.split(/[\\/]/).filter(Boolean).at(-1) ?? model;
}

/** The reason why the settings disable suggestions for the active document, or undefined. */
export function exclusionReason(): string | undefined {
  const configuration = vscode.workspace.getConfiguration('starcoder.inline_completion');
  if (!configuration.get<boolean>('enabled', true)) {
    return 'paused';
  }
  const language = vscode.window.activeTextEditor?.document.languageId;
  return language && (isExcluded(language) || isPaused(language)) ? `not in ${language}` : undefined;
}

/** Whether a setting of VS Code excludes `language`; pausing and resuming do not change it. */
export function isExcluded(language: string): boolean {
  return languagesOf('excluded_languages').includes(language);
}

/** Whether the user has paused suggestions in `language`. */
export function isPaused(language: string): boolean {
  return languagesOf('paused_languages').includes(language);
}

function languagesOf(key: 'excluded_languages' | 'paused_languages'): string[] {
  return vscode.workspace.getConfiguration('starcoder.inline_completion').get<string[]>(key, []);
}

export async function togglePause(): Promise<void> {
  const configuration = vscode.workspace.getConfiguration('starcoder.inline_completion');
  await configuration.update('enabled', !configuration.get<boolean>('enabled', true), vscode.ConfigurationTarget.Global);
}

export async function togglePauseLanguage(): Promise<void> {
  const language = vscode.window.activeTextEditor?.document.languageId;
  if (!language) {
    return;
  }
  if (isExcluded(language)) {
    const open = 'Open Setting';
    if (await vscode.window.showInformationMessage(`StarCoder: a setting excludes ${language} from suggestions.`, open) === open) {
      await vscode.commands.executeCommand('workbench.action.openSettings', 'starcoder.inline_completion.excluded_languages');
    }
    return;
  }
  const before = languagesOf('paused_languages');
  const now = before.includes(language) ? before.filter((name) => name !== language) : [...before, language];
  const configuration = vscode.workspace.getConfiguration('starcoder.inline_completion');
  await configuration.update('paused_languages', now, vscode.ConfigurationTarget.Global);
}

interface Stats {
  answers: Record<string, number>; empty: number; without_model_percent: number;
  ms: Record<string, number>; model_ms: Record<string, number>;
}

export async function showLatency(server: Server): Promise<void> {
  const stats = await server.running.sendRequest<Stats>('starcoder/stats', {});
  const count = Object.values(stats.answers).reduce((sum, answers) => sum + answers, 0);
  const formatTimes = (ms: Record<string, number>) => `${ms.p50} ms (median), ${ms.p95} ms (95 %), ${ms.p99} ms (99 %)`;
  const text = count === 0 ? 'No suggestion has been requested yet.'
    : `${count} answers since the server started, ${stats.without_model_percent} % without the model. All: ${formatTimes(stats.ms)}. By the model: ${formatTimes(stats.model_ms)}.`;
  await vscode.window.showInformationMessage(`StarCoder: ${text}`);
}
