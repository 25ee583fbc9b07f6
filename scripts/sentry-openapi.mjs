// Takes the calls that mimir makes out of the types that Sentry generates from its description, as plain JSON Schema.
//
//   node scripts/sentry-openapi.mjs typescript.js types.gen.d.ts
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// The names that the generator gave to: method, path.
const CALLS = {
    ListAnOrganizationSissues: "GET /api/0/organizations/{organization_id_or_slug}/issues/",
    RetrieveAnIssue: "GET /api/0/organizations/{organization_id_or_slug}/issues/{issue_id}/",
    UpdateAnIssue: "PUT /api/0/organizations/{organization_id_or_slug}/issues/{issue_id}/",
    RetrieveAnIssueEvent: "GET /api/0/organizations/{organization_id_or_slug}/issues/{issue_id}/events/{event_id}/",
};

const [compiler, types] = process.argv.slice(2);
const ts = createRequire(import.meta.url)(compiler);
const source = ts.createSourceFile("types.d.ts", readFileSync(types, "utf8"), ts.ScriptTarget.Latest, true);
const named = new Map();
source.forEachChild((node) => {
    if (ts.isTypeAliasDeclaration(node)) named.set(node.name.text, node.type);
});

const text = (name) => (ts.isStringLiteral(name) || ts.isNumericLiteral(name) || ts.isIdentifier(name) ? name.text : fail(name));
function fail(node) {
    throw new Error(`${ts.SyntaxKind[node.kind]} is not known here: ${node.getText(source).slice(0, 80)}`);
}

// What a type says, as JSON Schema. What may be anything says nothing.
function schema(type) {
    const kind = ts.SyntaxKind;
    switch (type.kind) {
        case kind.StringKeyword: return { type: "string" };
        case kind.NumberKeyword: return { type: "number" };
        case kind.BooleanKeyword: return { type: "boolean" };
        case kind.UnknownKeyword: case kind.AnyKeyword: return {};
        case kind.NeverKeyword: return { not: {} };
        case kind.ParenthesizedType: return schema(type.type);
        case kind.ArrayType: return { type: "array", items: schema(type.elementType) };
        case kind.UnionType: return { anyOf: type.types.map(schema) };
        case kind.IntersectionType: return { allOf: type.types.map(schema) };
        case kind.TupleType: return { type: "array", prefixItems: type.elements.map(schema) };
        case kind.LiteralType: {
            const literal = type.literal;
            if (literal.kind === kind.NullKeyword) return { type: "null" };
            if (literal.kind === kind.TrueKeyword || literal.kind === kind.FalseKeyword) return { const: literal.kind === kind.TrueKeyword };
            if (ts.isStringLiteral(literal)) return { const: literal.text };
            if (ts.isNumericLiteral(literal)) return { const: Number(literal.text) };
            return fail(literal);
        }
        case kind.TypeReference: {
            const name = type.typeName.getText(source);
            if (name === "Array") return { type: "array", items: schema(type.typeArguments[0]) };
            return named.has(name) ? schema(named.get(name)) : fail(type);
        }
        case kind.TypeLiteral: {
            const result = { type: "object", properties: {}, required: [] };
            for (const member of type.members) {
                if (ts.isIndexSignatureDeclaration(member)) {
                    result.additionalProperties = schema(member.type);
                } else if (ts.isPropertySignature(member)) {
                    const name = text(member.name);
                    result.properties[name] = schema(member.type);
                    if (!member.questionToken) result.required.push(name);
                } else {
                    fail(member);
                }
            }
            return result;
        }
        default: return fail(type);
    }
}

const of = (name) => (named.has(name) ? schema(named.get(name)) : null);
const calls = Object.entries(CALLS).map(([name, line]) => {
    const [method, path] = line.split(" ");
    const asked = of(`${name}Data`);
    if (!asked) throw new Error(`there is no ${name}`);
    if (asked.properties.url.const !== path) throw new Error(`${name} is ${asked.properties.url.const}`);
    const { body, path: inPath, query } = asked.properties;
    const none = (part) => !part || part.not !== undefined;
    return {
        method,
        path,
        // An address holds text: what a type says of a number, the test reads out of it.
        path_parameters: none(inPath) ? {} : inPath.properties,
        query: none(query) ? {} : query.properties,
        body: none(body) ? null : body,
        responses: { ...of(`${name}Errors`)?.properties, ...of(`${name}Responses`).properties },
    };
});
// What resolves an issue with a commit is described twice: in this version as a text where one issue is changed, and as what
// Sentry takes, a commit with its repository, where several are. In later versions of the description both are the latter.
const update = calls.find((call) => call.method === "PUT").body.properties.statusDetails.properties;
update.inCommit = of("BulkMutateAnOrganizationSissuesData").properties.body.properties.statusDetails.properties.inCommit;
if (!update.inCommit?.properties?.repository) throw new Error("inCommit is described otherwise");

process.stdout.write(JSON.stringify({ calls }));
