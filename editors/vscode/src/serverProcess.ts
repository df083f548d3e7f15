// The server's process: starts it, remembers why it ended, and decides whether it is started again.
import { ChildProcess, spawn } from 'node:child_process';
import * as vscode from 'vscode';
import { CloseAction, CloseHandlerResult, ErrorAction, ErrorHandler, ErrorHandlerResult } from 'vscode-languageclient/node';
import { Command } from './discovery';

const MAX_CRASHES = 4;
const CRASH_WINDOW_MS = 3 * 60 * 1000;
const EXIT_TIMEOUT_MS = 2000;
const MAX_LINE_CHARS = 200;
const LOG_LINE = /\b(DEBUG|INFO|WARNING)\b/; // says nothing about the end of the process

export class ServerProcess implements ErrorHandler {
  private child: ChildProcess | undefined;
  private exit: Promise<string> = Promise.resolve('');
  private crashTimesMs: number[] = [];
  private isKilled = false;
  /** Why the last process ended, in words; empty while none has. */
  reason = '';

  constructor(private readonly onCrash: (message: string, isRestarted: boolean) => void) {}

  /** Start the program; rejects if the system cannot. */
  async start({ program, arguments: args }: Command): Promise<ChildProcess> {
    const [folder] = vscode.workspace.workspaceFolders ?? [];
    const cwd = folder?.uri.scheme === 'file' ? folder.uri.fsPath : undefined;
    const child = spawn(program, args, { cwd, stdio: 'pipe' });
    this.child = child;
    this.isKilled = false;
    let lastLine = '';
    child.stderr.on('data', (data: Buffer) => {
      const lines = data.toString().split(/\r?\n/).filter((line) => line.trim() && !LOG_LINE.test(line));
      lastLine = lines.at(-1) ?? lastLine;
    });
    this.exit = new Promise((resolve) => {
      child.on('exit', (code, signal) => {
        const how = signal ? `it was ended by ${signal}` : `exit code ${code}`;
        resolve(lastLine ? `${how}; its last message: ${lastLine.trim().slice(0, MAX_LINE_CHARS)}` : how);
      });
    });
    return new Promise((resolve, reject) => {
      child.on('spawn', () => resolve(child));
      child.on('error', (error) => {
        this.reason = error.message;
        reject(error);
      });
    });
  }

  /** End the process of a client that was stopped, if it is still there after two seconds. */
  end(): void {
    const child = this.child;
    setTimeout(() => child?.exitCode === null && child.kill(), EXIT_TIMEOUT_MS);
  }

  /** End the process at once; the client that uses it does not start it again. */
  kill(): void {
    this.isKilled = true;
    this.child?.kill('SIGKILL');
  }

  error(_error: Error, _message: unknown, count: number | undefined): ErrorHandlerResult {
    return { action: (count ?? 0) <= 3 ? ErrorAction.Continue : ErrorAction.Shutdown };
  }

  /** The connection was closed, and no command had stopped the server. */
  async closed(): Promise<CloseHandlerResult> {
    if (this.isKilled) {
      return { action: CloseAction.DoNotRestart, handled: true };
    }
    const timeout = new Promise<string>((resolve) => setTimeout(resolve, EXIT_TIMEOUT_MS, 'it closed its connection'));
    this.reason = await Promise.race([this.exit, timeout]);
    const nowMs = Date.now();
    this.crashTimesMs = [...this.crashTimesMs.filter((timeMs) => nowMs - timeMs < CRASH_WINDOW_MS), nowMs];
    const isRestarted = this.crashTimesMs.length <= MAX_CRASHES;
    const message = isRestarted
      ? `The server ended unexpectedly and was started again (${this.reason}).`
      : `The server ended ${this.crashTimesMs.length} times within three minutes and is not started again (${this.reason}).`;
    this.onCrash(message, isRestarted);
    return { action: isRestarted ? CloseAction.Restart : CloseAction.DoNotRestart, message, handled: true };
  }
}
