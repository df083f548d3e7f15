// The item in the status bar, and notifications, each of which is shown once.
import { Notification } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';
import { ServerStatus } from './messages';

const PROBLEM_CLASS = 'starcoder-mod-problem';

export class StatusItem extends Widget {
  private readonly shownTexts = new Set<string>();

  constructor() {
    super();
    this.id = 'starcoder-status';
    this.addClass('jp-StatusBar-TextItem');
  }

  showStatus(status: ServerStatus): void {
    const { text, isProblem } = statusText(status);
    this.node.textContent = text;
    this.node.title = [status.message, [status.model, status.device].filter(Boolean).join(' · ')].filter(Boolean).join('\n');
    this.toggleClass(PROBLEM_CLASS, isProblem);
    if (status.message && (isProblem || status.kind === 'starting')) {
      this.notify('warning', status.message);
    }
  }

  clear(): void {
    this.node.textContent = this.node.title = '';
  }

  /** Show `text` to the user, unless it was shown before. */
  notify(severity: 'error' | 'warning' | 'info', text: string): void {
    if (!this.shownTexts.has(text)) {
      this.shownTexts.add(text);
      const message = text.startsWith('StarCoder: ') ? text : `StarCoder: ${text}`;
      Notification.emit(message, severity, { autoClose: severity === 'info' ? undefined : false });
    }
  }
}

function statusText({ kind, phase, model, device, progress }: ServerStatus): { text: string; isProblem: boolean } {
  switch (kind) {
    case 'starting': return { text: 'StarCoder: starting', isProblem: false };
    case 'missing': return { text: 'StarCoder: not installed', isProblem: true };
    case 'stopped': return { text: 'StarCoder: stopped', isProblem: true };
  }
  switch (phase) {
    case 'loading': return { text: `StarCoder: loading ${Math.round(100 * (progress ?? 0))} %`, isProblem: false };
    case 'failed': case 'closed': return { text: `StarCoder: ${phase}`, isProblem: true };
    default: {
      const name = model?.split(/[\\/]/).filter(Boolean).pop() ?? '';
      return { text: ['StarCoder', name, device].filter(Boolean).join(' · '), isProblem: false };
    }
  }
}
