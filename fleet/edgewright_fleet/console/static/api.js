// The API, by the session's cookie. Errors carry the server's own words.

export async function call(method, path, body) {
  const answer = await fetch(path, {
    method,
    headers: method === "GET" ? {} : { "Content-Type": "application/json" },
    body: method === "GET" ? undefined : JSON.stringify(body ?? {}),
  });
  if (answer.status === 401) {
    location.assign("/login");
    throw new Error("logged out");
  }
  const document = await answer.json();
  if (!answer.ok) throw new Error(document.error);
  return document;
}

export const get = (path) => call("GET", path);
export const post = (path, body) => call("POST", path, body);
