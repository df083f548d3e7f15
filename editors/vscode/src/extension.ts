// What VS Code calls. Decides which command is done where. This client holds no completion logic: it starts the server,
// passes settings, shows status and offers commands; ghost text is VS Code's own over textDocument/inlineCompletion.
import * as vscode from 'vscode';
import { Actions } from './actions';
import { chooseAdapter } from './adapters';
import { Asked, Explanation, sentence } from './explanation';
import { PromptPreview } from './prompt';
import { Server } from './server';
import { showLatency, showMenu, StatusItem, togglePause, togglePauseLanguage } from './status';

let server: Server | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const declared: { properties: Record<string, unknown> }[] = context.extension.packageJSON.contributes.configuration;
  const keys = declared.flatMap((group) => Object.keys(group.properties));
  const intercepted = new Map<string, (...given: any[]) => unknown>();
  const running = new Server(keys, intercepted, vscode.Uri.joinPath(context.extensionUri, 'readme.md'));
  server = running;
  const explanation = new Explanation(running);
  const actions = new Actions(running, explanation);
  const preview = new PromptPreview(running);
  intercepted.set('starcoder.explain', guarded((asked: Asked) => actions.explained(asked)));

  const commands: Record<string, (...given: any[]) => unknown> = {
    'starcoder.instruct': (asked: Asked, command: string) => actions.instruct(asked, command),
    'starcoder.explainCode': () => actions.explain('explain', 'Explain'),
    'starcoder.writeTests': () => actions.explain('test', 'Tests'),
    'starcoder.askQuestion': () => actions.explain('ask', 'Answer', 'Your question'),
    'starcoder.writeDocstring': () => actions.edit('document'),
    'starcoder.fixCode': () => actions.edit('fix'),
    'starcoder.showPrompt': () => preview.show(),
    'starcoder.menu': () => showMenu(running),
    'starcoder.pause': togglePause,
    'starcoder.pauseLanguage': togglePauseLanguage,
    'starcoder.chooseAdapter': () => chooseAdapter(running),
    'starcoder.showLatency': () => showLatency(running),
    'starcoder.restart': () => running.restart(),
    'starcoder.showLog': () => running.log.show(),
  };
  for (const [name, run] of Object.entries(commands)) {
    context.subscriptions.push(vscode.commands.registerCommand(name, guarded(run)));
  }
  context.subscriptions.push(
    preview.register(),
    vscode.workspace.onDidChangeConfiguration((event) => void running.follow(event)),
    vscode.workspace.onDidGrantWorkspaceTrust(() => void (running.now.kind === 'missing' && running.restart())),
  );
  new StatusItem(running).register(context.subscriptions);
  await running.restart();
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}

/** What fails is one sentence to the user, not a stack in the console. */
function guarded<P extends unknown[]>(run: (...given: P) => unknown): (...given: P) => Promise<void> {
  return async (...given) => {
    try {
      await run(...given);
    } catch (error) {
      void vscode.window.showErrorMessage(`StarCoder: ${sentence(error)}`);
    }
  };
}
