%% SPDX-License-Identifier: Apache-2.0
%% @doc The examples in the user guide run, and say what they say.
%%
%% A page is one story: its blocks of Erlang run in one process, in order and
%% with their variables, those of Python in one context.  A match that fails, or
%% an assertion, fails the test.
-module(py_docs_SUITE).
-compile([export_all, nowarn_export_all]).

suite() -> [{timetrap, {minutes, 2}}].

all() -> [callbacks, state, messages, channels, pools, async, streams, references,
          shared_memory, web, reactor, scheduling, migration, security, api, distribution].

init_per_testcase(_, Config) ->
    ok = py_ct:start([{contexts, 1}]),
    ok = py:exec("import erlang"),
    Config.

end_per_testcase(_, _) ->
    py_ct:stop().

callbacks(_) -> run("callbacks.md").
state(_) -> run("state.md").
messages(_) -> run("messages.md").
channels(_) -> run("channels.md").
pools(_) -> run("pools.md").

async(_) -> run("async.md").
api(_) -> run("api.md").
streams(_) -> run("streams.md").
references(_) -> run("references.md").
migration(_) -> run("migration.md").
shared_memory(_) -> run("shared-memory.md").
web(_) -> run("web.md").
reactor(_) -> run("reactor.md").
scheduling(_) -> run("scheduling.md").
security(_) -> run("security.md").

%% They start a node beside this one, so this is one.
distribution(_) ->
    Before = py_peers:begin_node(),
    try
        run("distribution.md")
    after
        py_peers:end_node(Before)
    end.

%% The examples of a case: those of the page of its name.
examples(Case) ->
    read(lists:map(fun($_) -> $-; (C) -> C end, atom_to_list(Case)) ++ ".md").

read(Page) ->
    {ok, Text} = file:read_file(filename:join([root(), "docs", Page])),
    blocks(binary:split(Text, <<"\n">>, [global]), []).

run(Page) ->
    Blocks = read(Page),
    true = length(Blocks) > 2,
    _ = lists:foldl(fun block/2, erl_eval:new_bindings(), Blocks),
    ok.

%% The suite is compiled somewhere below the root of the project.
root() ->
    up(filename:dirname(code:which(?MODULE))).

up(Dir) ->
    case filelib:is_file(filename:join([Dir, "docs", "state.md"])) of
        true -> Dir;
        false -> up(filename:dirname(Dir))
    end.

blocks([<<"```", Language/binary>> | Rest], Acc)
  when Language =:= <<"erlang">>; Language =:= <<"python">> ->
    {Lines, [_ | After]} = lists:splitwith(fun(L) -> L =/= <<"```">> end, Rest),
    blocks(After, [{Language, [[L, $\n] || L <- Lines]} | Acc]);
blocks([_ | Rest], Acc) ->
    blocks(Rest, Acc);
blocks([], Acc) ->
    lists:reverse(Acc).

block({<<"python">>, Code}, Bindings) ->
    case py:exec(unicode:characters_to_binary(Code)) of
        ok -> Bindings;
        Error -> ct:fail({Error, py:last_error()})
    end;
block({<<"erlang">>, Code}, Bindings) ->
    {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(iolist_to_binary(Code))),
    lists:foldl(fun form/2, Bindings, forms(Tokens, [], [])).

forms([{dot, _} = Dot | Rest], Form, Acc) ->
    forms(Rest, [], [lists:reverse([Dot | Form]) | Acc]);
forms([Token | Rest], Form, Acc) ->
    forms(Rest, [Token | Form], Acc);
forms([], [], Acc) ->
    lists:reverse(Acc).

form(Tokens, Bindings) ->
    {ok, Exprs} = erl_parse:parse_exprs(Tokens),
    try
        {value, _, Next} = erl_eval:exprs(Exprs, Bindings),
        Next
    catch
        Class:Reason:Stack -> ct:fail({erl_pp:exprs(Exprs), Class, Reason, Stack})
    end.
