/** The Matrix view: pictures of all heads, or the cells of one. */

import { make } from "../element";
import type { Change, Model } from "../model";
import type { Theme } from "../theme";
import { MatrixHead } from "./matrix_head";
import { MatrixOverview } from "./matrix_overview";
import type { CentreActions, CentreView } from "./view";

export function makeMatrix(model: Model, theme: Theme, actions: CentreActions): CentreView {
  const parts = { heads: new MatrixOverview(model, theme), head: new MatrixHead(model, theme, actions) };
  const element = make("div", { class: "matrix-view" });
  let shown: MatrixHead | MatrixOverview | null = null;
  return {
    element,
    refresh(change: Change) {
      const wanted = parts[model.choice.matrix];
      const isNew = wanted !== shown;
      const hadFocus = element.querySelector(":focus") !== null;
      if (isNew) element.replaceChildren(wanted.element);
      shown = wanted;
      if (isNew || wanted === parts.head || change === "scene" || change === "graph") wanted.refresh();
      if (!isNew) return;
      wanted.resize();
      if (hadFocus) wanted.focus();
    },
    setTheme(now) {
      parts.heads.setTheme(now);
      parts.head.setTheme(now);
    },
    resize: () => shown?.resize(),
    press(event) {
      const [target] = event.composedPath();
      const isOurs = (target instanceof Node && element.contains(target)) || target === document.body || target === document.documentElement;
      return isOurs && !event.ctrlKey && !event.metaKey && !event.altKey && shown !== null && shown.press(event);
    },
    destroy() {
      parts.heads.destroy();
      parts.head.destroy();
    },
  };
}
