/** Signed URLs carry their secret in the query, and some carry a password: what is left has neither. "" for what is no URL. */
export function withoutSecrets(text: string): string {
  const url = URL.parse(text);
  return url === null ? "" : `${url.protocol}//${url.host}${url.pathname}`;
}
