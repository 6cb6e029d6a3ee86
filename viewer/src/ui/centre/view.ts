/** What a view in the centre must do that is not the graph itself. */

import type { Change, Model } from "../model";
import type { Theme } from "../theme";

export interface CentreActions {
  say(text: string): void; // read aloud by screen readers
}

/** A view in the graph's place. It is made when it is first shown, and told of changes while it is shown. */
export interface CentreView {
  readonly element: HTMLElement;
  /** Follow a change of the model; "scene" when the view is shown (again). */
  refresh(change: Change): void;
  setTheme(theme: Theme): void;
  /** CSS pixels of the element. */
  resize(width: number, height: number): void;
  /** A key that the view knows; returns whether it did something. */
  press?(event: KeyboardEvent): boolean;
  destroy(): void;
}

export type MakeView = (model: Model, theme: Theme, actions: CentreActions) => CentreView;
