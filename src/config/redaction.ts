/** Puts `***` in place of every password and token that a text shows in the usual ways: urls, `password=…`, bearer tokens. */
export function redactSecrets(text: string): string {
  return text
    .replace(/([a-z][a-z0-9+.-]*:\/\/)([^\s/:@'"]*):([^\s@'"]+)@/gi, '$1$2:***@')
    .replace(
      /((?:password|passwd|pwd|secret|token|sslpassword|api[_-]?key)["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s&,;'"}]+)/gi,
      '$1***',
    )
    .replace(/(\b(?:bearer|basic)\s+)[a-z0-9._~+/=-]+/gi, '$1***');
}
