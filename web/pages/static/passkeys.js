// Signs in by a passkey, and adds, lists and removes passkeys, through the API.
"use strict";

const part = (id) => document.getElementById(id);
let csrf = "";

function tell(text) {
  part("told").textContent = text;
}

async function call(method, path, body) {
  const headers = { "X-CSRF-Token": csrf };
  const sent = { method, headers };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    sent.body = JSON.stringify(body);
  }
  const answer = await fetch(path, sent);
  const text = await answer.text();
  const found = text ? JSON.parse(text) : null;
  if (!answer.ok) {
    const told = found.errors ? found.errors.map((one) => one.message).join(" ") : found.detail;
    throw Object.assign(new Error(told || found.title), { status: answer.status });
  }
  return found;
}

async function answerOf() {
  const asked = await call("POST", "/v1/tokens/passkey/options");
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(asked.public_key);
  const credential = await navigator.credentials.get({ publicKey });
  return { request: asked.request, credential: credential.toJSON() };
}

async function signIn() {
  const answer = await answerOf();
  csrf = (await call("POST", "/v1/tokens/passkey", { ...answer, carrier: "cookie" })).csrf_token;
  await show();
  tell("You are signed in.");
}

async function add() {
  const asked = await call("POST", "/v1/me/passkeys/options");
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(asked.public_key);
  const credential = await navigator.credentials.create({ publicKey });
  const body = {
    request: asked.request,
    credential: credential.toJSON(),
    name: part("name").value,
  };
  if (part("password").value) body.current_password = part("password").value;
  await call("POST", "/v1/me/passkeys", body);
  part("add").reset();
  await show();
  tell("The passkey is added.");
}

async function check() {
  await call("POST", "/v1/me/second-factor/passkey", await answerOf());
  tell("The second factor is given.");
}

async function remove(id) {
  await call("DELETE", `/v1/me/passkeys/${id}`);
  await show();
  tell("The passkey is removed.");
}

function line(passkey) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.textContent = "Remove";
  button.addEventListener("click", () => attempt(() => remove(passkey.id)));
  item.append(passkey.name, " ", button);
  return item;
}

async function show() {
  const passkeys = await call("GET", "/v1/me/passkeys");
  part("list").replaceChildren(...passkeys.map(line));
  part("signed-in").hidden = false;
  part("signed-out").hidden = true;
}

async function attempt(act) {
  tell("");
  try {
    await act();
  } catch (error) {
    tell(error.message);
  }
}

async function begin() {
  try {
    csrf = (await call("GET", "/v1/me/session")).csrf_token || "";
  } catch (error) {
    if (error.status !== 401) throw error;
    part("signed-out").hidden = false;
    return;
  }
  await show();
}

part("sign-in").addEventListener("click", () => attempt(signIn));
part("check").addEventListener("click", () => attempt(check));
part("add").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(add);
});
attempt(begin);
