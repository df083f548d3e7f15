// Runs `starcoder-ls setup`, with the program and the settings file of the server: it lists the models for this machine, and downloads one
// and writes the settings file.
import { ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import * as vscode from 'vscode';
import { Command, findServer } from './discovery';

export interface Model {
  model: string; quantization: string; adapter: string | null; licence: string; remarks: string; problem: string;
  downloadBytes: number; memoryBytes: number; msPerToken: number | null; needsAccount: boolean; downloaded: boolean;
}

export interface ModelList {
  /** The best choice first. */
  models: Model[];
  settingsFile: string;
}

/** Why a model could not be set up: the message for the user, and what its remedies need. */
export interface Failure { message: string; kind: 'licence' | 'token' | 'disk' | 'connection' | 'other'; page?: string; login?: string }

interface Line { progress?: number; message?: string; error?: Failure; written?: string }

/** The models that fit this machine, and the others. Throws an error with a message for the user. */
export async function listModels(): Promise<ModelList> {
  const lines: string[] = [];
  const { code, errors } = await readLines(start(await setupCommand(), ['--list', '--json']), (line) => lines.push(line));
  if (code !== 0) {
    throw new Error(errors || `starcoder-ls setup ended with exit code ${code}.`);
  }
  return JSON.parse(lines.join('\n'));
}

/** Download a model and write it to the settings file. Returns why that failed, or undefined; cancelling ends the process. */
export async function setUp(
  model: string, onProgress: (fraction: number, message: string) => void, token: vscode.CancellationToken,
): Promise<Failure | undefined> {
  const child = start(await setupCommand(), ['--model', model, '--yes', '--json']);
  const cancelling = token.onCancellationRequested(() => child.kill());
  let failure: Failure | undefined;
  let isWritten = false;
  const { code, errors } = await readLines(child, (text) => {
    const line = parse(text);
    failure = line.error ?? failure;
    isWritten ||= line.written !== undefined;
    if (line.progress !== undefined) {
      onProgress(line.progress, line.message ?? '');
    }
  });
  cancelling.dispose();
  return isWritten ? undefined : failure ?? { message: errors || `starcoder-ls setup ended with exit code ${code}.`, kind: 'other' };
}

/** The command `setup` of the program that is the server. The error of a command that names a model says so: the settings could not change it. */
async function setupCommand(): Promise<Command> {
  const command = await findServer();
  if (!command) {
    throw new Error('starcoder-ls was not found; install it first.');
  }
  const serve = command.arguments.indexOf('serve');
  const [before, options] = serve < 0 ? [command.arguments, []] : [command.arguments.slice(0, serve), command.arguments.slice(serve + 1)];
  if (options.some((option) => /^(--model|-m)(=|$)/.test(option))) {
    throw new Error('The setting starcoder.server.command names a model (--model), so that no other can be chosen. Remove it there.');
  }
  const file = options.findIndex((option) => option === '--settings' || option.startsWith('--settings='));
  const settings = file < 0 ? [] : options.slice(file, file + (options[file] === '--settings' ? 2 : 1));
  return { ...command, arguments: [...before, 'setup', ...settings] };
}

function start({ program, arguments: args }: Command, more: string[]): ChildProcess {
  return spawn(program, [...args, ...more], { stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Pass each line of the output to `onLine`. Returns, at the end of the process, its exit code and its last error message. */
function readLines(child: ChildProcess, onLine: (line: string) => void): Promise<{ code: number | null; errors: string }> {
  let errors = '';
  child.stderr?.on('data', (data: Buffer) => { errors = (errors + data.toString()).slice(-4000); });
  if (child.stdout) {
    createInterface(child.stdout).on('line', onLine);
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, errors: errors.trim().split('\n').at(-1) ?? '' }));
  });
}

function parse(text: string): Line {
  try {
    return JSON.parse(text);
  } catch {
    return {}; // what a library prints
  }
}
