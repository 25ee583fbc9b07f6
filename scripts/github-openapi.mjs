// Takes the calls that mimir makes, and the webhooks that it takes, out of GitHub's descriptions, with the schemas that
// they name, as plain JSON Schema.
//
//   node scripts/github-openapi.mjs API.json WEBHOOKS.json
import { readFileSync } from "node:fs";

const CALLS = `
get /user
get /app
get /meta
post /app/installations/{installation_id}/access_tokens
get /repos/{owner}/{repo}
get /repos/{owner}/{repo}/installation
get /repos/{owner}/{repo}/collaborators/{username}/permission
get /repos/{owner}/{repo}/commits
get /repos/{owner}/{repo}/commits/{ref}/check-runs
get /repos/{owner}/{repo}/commits/{ref}/check-suites
get /repos/{owner}/{repo}/commits/{ref}/status
get /repos/{owner}/{repo}/check-runs/{check_run_id}/annotations
get /repos/{owner}/{repo}/actions/jobs/{job_id}/logs
delete /repos/{owner}/{repo}/git/refs/{ref}
get /repos/{owner}/{repo}/pulls
post /repos/{owner}/{repo}/pulls
get /repos/{owner}/{repo}/pulls/{pull_number}
patch /repos/{owner}/{repo}/pulls/{pull_number}
put /repos/{owner}/{repo}/pulls/{pull_number}/merge
post /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers
get /repos/{owner}/{repo}/pulls/{pull_number}/reviews
get /repos/{owner}/{repo}/pulls/{pull_number}/comments
get /repos/{owner}/{repo}/pulls/{pull_number}/files
post /repos/{owner}/{repo}/pulls/{pull_number}/comments/{comment_id}/replies
get /repos/{owner}/{repo}/issues/{issue_number}
patch /repos/{owner}/{repo}/issues/{issue_number}
get /repos/{owner}/{repo}/issues/{issue_number}/comments
post /repos/{owner}/{repo}/issues/{issue_number}/comments
get /repos/{owner}/{repo}/hooks/{hook_id}/deliveries
post /repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}/attempts
`;
const HOOKS = `
ping
push
pull-request-opened
pull-request-synchronize
pull-request-closed
pull-request-ready-for-review
pull-request-review-submitted
pull-request-review-comment-created
issue-comment-created
issues-opened
issues-labeled
check-run-completed
`;

const [api, webhooks] = process.argv.slice(2).map((path) => JSON.parse(readFileSync(path, "utf8")));
const lines = (text) => text.trim().split("\n");
const pointer = (document, ref) =>
    ref.slice(2).split("/").reduce((at, part) => at[part.replace(/~1/g, "/").replace(/~0/g, "~")], document);

// OpenAPI 3.0 says in its own way that something may be null, and what it must be more than.
function plain(schema, names) {
    if (Array.isArray(schema)) return schema.map((part) => plain(part, names));
    if (schema === null || typeof schema !== "object") return schema;
    if (typeof schema.$ref === "string") {
        const name = schema.$ref.split("/").pop();
        names.add(name);
        const ref = { $ref: `#/$defs/${name}` };
        return schema.nullable ? { anyOf: [ref, { type: "null" }] } : ref;
    }
    const result = {};
    for (const [key, value] of Object.entries(schema)) {
        if (["example", "examples", "description", "nullable", "externalDocs", "title", "default"].includes(key)) continue;
        if (key === "properties") {
            result.properties = Object.fromEntries(Object.entries(value).map(([name, of]) => [name, plain(of, names)]));
        } else if (key === "enum" || key === "required" || key === "const") {
            result[key] = value;
        } else {
            result[key] = plain(value, names);
        }
    }
    if (result.exclusiveMinimum === true) {
        result.exclusiveMinimum = result.minimum;
        delete result.minimum;
    }
    if (schema.nullable) {
        if (typeof result.type === "string") result.type = [result.type, "null"];
        if (result.enum && !result.enum.includes(null)) result.enum = [...result.enum, null];
        if (result.type === undefined) return { anyOf: [result, { type: "null" }] };
    }
    return result;
}

// Everything that is named, and what that names.
function defined(document, names) {
    const defs = {};
    for (;;) {
        const left = [...names].filter((name) => !(name in defs));
        if (left.length === 0) return defs;
        for (const name of left) defs[name] = plain(document.components.schemas[name], names);
    }
}

const resolved = (document, thing) => (thing?.$ref ? pointer(document, thing.$ref) : thing);
const json = (thing) => Object.entries(thing?.content ?? {}).find(([type]) => type.includes("json"))?.[1]?.schema;

const names = new Set();
const calls = lines(CALLS).map((line) => {
    const [method, path] = line.split(" ");
    const place = api.paths[path];
    const call = place?.[method];
    if (!call) throw new Error(`there is no ${line}`);
    const parameters = [...(place.parameters ?? []), ...(call.parameters ?? [])]
        .map((parameter) => resolved(api, parameter))
        .map(({ name, in: where, required, schema }) => ({ name, where, required: !!required, schema: plain(schema, names) }));
    const body = resolved(api, call.requestBody);
    const responses = Object.entries(call.responses).map(([status, response]) => {
        const schema = json(resolved(api, response));
        return [status, schema ? plain(schema, names) : null];
    });
    return {
        method: method.toUpperCase(),
        path,
        parameters,
        body: json(body) ? plain(json(body), names) : null,
        body_required: !!body?.required,
        responses: Object.fromEntries(responses),
    };
});

const hook_names = new Set();
const hooks = Object.fromEntries(lines(HOOKS).map((name) => {
    const post = webhooks.webhooks[name]?.post;
    if (!post) throw new Error(`there is no webhook ${name}`);
    const headers = (post.parameters ?? []).map((parameter) => resolved(webhooks, parameter))
        .filter((parameter) => parameter.in === "header").map((parameter) => parameter.name.toLowerCase());
    return [name, { headers, body: plain(json(resolved(webhooks, post.requestBody)), hook_names) }];
}));

process.stdout.write(JSON.stringify({
    version: api.info.version,
    calls,
    defs: defined(api, names),
    hooks,
    hook_defs: defined(webhooks, hook_names),
}));
