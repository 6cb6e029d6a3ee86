/** Where the keyboard acts, kept where the person left it. */

/** What has the focus in the document, or the shadow, that an element is in. */
export function focusedNear(element: Element): HTMLElement | null {
  const root = element.getRootNode();
  return root instanceof ShadowRoot || root instanceof Document ? (root.activeElement as HTMLElement | null) : null;
}

/** Tell whether something in an area has the focus but is hidden. */
export function isFocusHidden(area: Element): boolean {
  const focused = focusedNear(area);
  return focused !== null && area.contains(focused) && focused.getClientRects().length === 0;
}

/** Change what an area holds; the focus stays in it, and on the same control unless what it holds `isOther`. */
export function keepFocus(area: HTMLElement, change: () => void, isOther = false): void {
  const focused = focusedNear(area);
  const isInside = focused !== null && area.contains(focused);
  const controls = () => [...area.querySelectorAll<HTMLElement>("button, input, [tabindex]")];
  const at = focused && !isOther ? controls().indexOf(focused) : -1;
  change();
  if (isInside) (controls()[at] ?? area).focus({ preventScroll: true });
}
