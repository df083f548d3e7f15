// The commands on code: which lines they are about and by which request they are asked. What comes of them is the server's.
import * as vscode from 'vscode';
import { CodeAction, CodeActionTriggerKind, Command } from 'vscode-languageclient/node';
import { Asked, Explanation } from './explanation';
import { Server } from './server';

export class Actions {
  constructor(private readonly server: Server, private readonly explanation: Explanation) {}

  /** An action whose answer is text, on the selection or the function around the cursor. */
  async explain(action: string, title: string, question?: string): Promise<void> {
    const asked = this.asked(action);
    if (!asked) {
      return;
    }
    const instruction = question === undefined ? undefined : await vscode.window.showInputBox({ prompt: question, ignoreFocusOut: true });
    if (question !== undefined && !instruction) {
      return;
    }
    await this.explanation.run({ ...asked, ...(instruction ? { instruction } : {}) }, title);
  }

  /** An action that edits: the server makes the edit and asks VS Code to apply it. */
  async edit(action: string, title: string): Promise<void> {
    const asked = this.asked(action);
    if (asked) {
      await this.act(asked, title);
    }
  }

  /** Fix what is reported in the selection or at the cursor; without a report, whatever the model finds. */
  async fix(): Promise<void> {
    const asked = this.asked('fix');
    const editor = vscode.window.activeTextEditor;
    if (!asked || !editor) {
      return;
    }
    const client = this.server.running;
    const problems = vscode.languages.getDiagnostics(editor.document.uri).filter((problem) => problem.range.intersection(editor.selection));
    const diagnostics = await client.code2ProtocolConverter.asDiagnostics(problems);
    const offered = diagnostics.length === 0 ? null : await client.sendRequest<(CodeAction | Command)[] | null>('textDocument/codeAction', {
      textDocument: { uri: asked.uri }, range: asked.range, context: { diagnostics, only: ['quickfix'], triggerKind: CodeActionTriggerKind.Invoked },
    });
    const said = offered?.map((one) => (one as CodeAction).data as Asked | undefined).find((data) => data?.action === 'fix');
    await this.act(said ?? asked, 'fixing');
  }

  /** The server's own `starcoder.instruct`: a line from the user goes into the first argument, then the second is run. */
  async instruct(argument: Asked, command: string): Promise<void> {
    const instruction = await vscode.window.showInputBox({ prompt: argument.action === 'ask' ? 'Your question' : 'What shall be done?', ignoreFocusOut: true });
    if (!instruction) {
      return;
    }
    const asked = { ...argument, instruction };
    await (command === 'starcoder.explain' ? this.explanation.run(asked, titleOf(asked.action)) : this.act(asked, asked.action));
  }

  /** The server's command for an action that is text, wherever VS Code runs it from. */
  async explained(argument: Asked): Promise<void> {
    await this.explanation.run(argument, titleOf(argument.action));
  }

  private async act(asked: Asked, title: string): Promise<void> {
    const progress = { location: vscode.ProgressLocation.Notification, title: `StarCoder: ${title}`, cancellable: true };
    await vscode.window.withProgress(progress, async (_, token) => {
      try {
        await this.server.execute('starcoder.act', asked, token);
      } catch (error) {
        if (!token.isCancellationRequested) {
          throw error;
        }
      }
    });
  }

  private asked(action: string): Asked | undefined {
    const editor = vscode.window.activeTextEditor;
    if (!editor) {
      void vscode.window.showInformationMessage('StarCoder: open a file and select some lines, or put the cursor into a function.');
      return undefined;
    }
    const converter = this.server.running.code2ProtocolConverter;
    return { action, uri: converter.asUri(editor.document.uri), range: converter.asRange(editor.selection), version: editor.document.version };
  }
}

function titleOf(action: string): string {
  return action.charAt(0).toUpperCase() + action.slice(1);
}
