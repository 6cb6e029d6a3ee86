/** What stands in the middle: the graph, or the view that was chosen in its place. */

import { focusedNear, focusIn } from "../focus";
import type { Change, Model } from "../model";
import type { Stage } from "../stage";
import type { Theme } from "../theme";
import { CENTRE } from "./index";
import type { CentreActions, CentreView } from "./view";

export class Centre {
  private readonly made = new Map<string, CentreView>();
  view: CentreView | null = null; // null: the graph

  constructor(private readonly model: Model, private readonly stage: Stage, private theme: Theme, private readonly actions: CentreActions) {}

  get element(): HTMLElement {
    return this.view?.element ?? this.stage.element;
  }

  /** Follow a change, or put the chosen view in its place. */
  update(change: Change): void {
    const { view } = this.model.choice;
    const entry = CENTRE[view as keyof typeof CENTRE];
    const wanted = entry ? this.made.get(view) ?? entry.make(this.model, this.theme, this.actions) : null;
    if (wanted) this.made.set(view, wanted);
    if (wanted === this.view) {
      this.tell(change);
      return;
    }
    const old = this.element;
    const hadFocus = old.contains(focusedNear(old));
    this.view = wanted;
    old.replaceWith(this.element);
    this.resize();
    this.tell("scene"); // it saw no change while another was shown
    if (hadFocus) this.focus();
  }

  private tell(change: Change): void {
    if (this.view) this.view.refresh(change);
    else this.stage.update(change);
  }

  resize(): void {
    (this.view ?? this.stage).resize(this.element.clientWidth, this.element.clientHeight);
  }

  focus(): void {
    focusIn(this.element);
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    for (const view of this.made.values()) view.setTheme(theme);
  }

  destroy(): void {
    for (const view of this.made.values()) view.destroy();
  }
}
