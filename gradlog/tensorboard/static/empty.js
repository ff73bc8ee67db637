/** Empty: what the page shows if no run was logged by gradlog. */

import {element} from './dom.js';

const EXAMPLE = ['import gradlog', '', 'model.fit(x, y, callbacks=[gradlog.GradientLogger("logs/first")])'].join('\n');

/** The help. */
export function emptyState() {
  return element(
    'div',
    {class: 'empty'},
    element('h1', {text: 'No gradients logged yet'}),
    element('p', {text: 'gradlog has not logged any run in this directory. Add one line to your training:'}),
    element('pre', {}, element('code', {text: EXAMPLE})),
    element('p', {text: 'Then start TensorBoard on the directory that contains the runs:'}),
    element('pre', {}, element('code', {text: 'tensorboard --logdir logs'})),
    element('p', {text: 'To try the tab first, write a few small demo runs:'}),
    element('pre', {}, element('code', {text: 'python -m gradlog.tensorboard.demo logs/demo'})),
    element('p', {text: 'New runs appear here while TensorBoard is running.'}),
  );
}
