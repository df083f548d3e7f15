// The commands on code: which lines they are about and by which request they are asked. What comes of them is the server's.
import * as vscode from 'vscode';
import { CodeAction, CodeActionTriggerKind } from 'vscode-languageclient/node';
import { Asked, Explanation } from './explanation';
import { Server } from './server';

export class Actions {
  constructor(private readonly server: Server, private readonly explanation: Explanation) {}

  /** An action whose answer is text. */
  async explain(action: string, title: string, question?: string): Promise<void> {
    const asked = await this.asked(action);
    const instruction = question === undefined || !asked ? undefined : await askUser(question);
    if (asked && (question === undefined || instruction)) {
      await this.explanation.run({ ...asked, ...(instruction ? { instruction } : {}) }, title);
    }
  }

  /** An action that edits. */
  async edit(action: string): Promise<void> {
    const asked = await this.asked(action);
    if (asked) {
      await this.act(asked);
    }
  }

  /** The server's own `starcoder.instruct`: a line from the user goes into the first argument, then the second is run. */
  async instruct(argument: Asked, command: string): Promise<void> {
    const instruction = await askUser(argument.action === 'ask' ? 'Your question' : 'What shall be done?');
    if (!instruction) {
      return;
    }
    const asked = { ...argument, instruction };
    await (command === 'starcoder.explain' ? this.explanation.run(asked, titleOf(asked.action)) : this.act(asked));
  }

  /** The server's command for an action that is text, wherever VS Code runs it from. */
  async explained(argument: Asked): Promise<void> {
    await this.explanation.run(argument, titleOf(argument.action));
  }

  /** The edit as the server makes it (which shows its progress), then VS Code's own way of asking and applying. */
  private async act(asked: Asked): Promise<void> {
    const client = this.server.running;
    const resolved = await client.sendRequest<CodeAction>('codeAction/resolve', { title: asked.action, data: asked });
    const edit = await client.protocol2CodeConverter.asWorkspaceEdit(resolved.edit);
    if (edit) {
      await vscode.workspace.applyEdit(edit);
    }
  }

  /** The action on the selection or the function around the cursor, as the server offers it: it knows the lines meant. */
  private async asked(action: string): Promise<Asked | undefined> {
    const editor = vscode.window.activeTextEditor;
    if (!editor) {
      void vscode.window.showInformationMessage('StarCoder: open a file and select some lines, or put the cursor into a function.');
      return undefined;
    }
    const client = this.server.running;
    const converter = client.code2ProtocolConverter;
    const [uri, range] = [converter.asUri(editor.document.uri), converter.asRange(editor.selection)];
    const problems = vscode.languages.getDiagnostics(editor.document.uri).filter((problem) => problem.range.intersection(editor.selection));
    const offered = await client.sendRequest<CodeAction[] | null>('textDocument/codeAction', {
      textDocument: { uri }, range,
      context: {
        diagnostics: await converter.asDiagnostics(problems),
        only: [action === 'fix' ? 'quickfix' : `starcoder.${action}`],
        triggerKind: CodeActionTriggerKind.Invoked,
      },
    });
    const meant = offered?.map((one) => (one.data ?? one.command?.arguments?.[0]) as Asked | undefined).find((one) => one?.action === action);
    return meant ?? { action, uri, range, version: editor.document.version }; // not offered: asked for, it is refused with a reason
  }
}

async function askUser(question: string): Promise<string | undefined> {
  return vscode.window.showInputBox({ prompt: question, ignoreFocusOut: true });
}

function titleOf(action: string): string {
  return action.charAt(0).toUpperCase() + action.slice(1);
}
