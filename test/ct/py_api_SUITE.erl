%% SPDX-License-Identifier: Apache-2.0
%% @doc The public interface, function by function: each has a description, and an
%% example in a guide whose examples are run (py_docs_SUITE); each is called by a
%% suite or such an example, in each of its arities.
-module(py_api_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 2}}].

all() ->
    [erlang_is_described, erlang_has_examples, erlang_is_called, python_is_described,
     python_has_examples].

%% What users call.  In these modules what is not for them is marked @private.
modules() ->
    [py, py_context, py_context_router, py_event_loop, py_channel, py_byte_channel, py_buffer,
     py_shm, py_state, py_callback, py_semaphore, py_logger, py_tracer, py_events, py_import,
     py_preload, py_asgi, py_wsgi, py_reactor_context, py_sandbox].

erlang_is_described(_) ->
    [?assertEqual([], [{M, F, A} || {F, A} <- public(M), not is_described(source(M), F)])
     || M <- modules()].

erlang_has_examples(_) ->
    Examples = examples(["erlang"]),
    ?assertEqual([], missing(Examples)).

%% Each arity is.
erlang_is_called(_) ->
    Texts = suites() ++ [unicode:characters_to_list(Lines) || Lines <- examples(["erlang"])],
    Called = lists:usort(lists:append([calls(tokens(Text)) || Text <- Texts])),
    ?assertEqual([], [{M, F, A} || M <- modules(), {F, A} <- public(M),
                                   not lists:member({M, F, A}, Called)]).

%% A suite is Erlang; of an example that may be a session of the shell, line by line,
%% what comes after something else does not matter.
tokens(Text) ->
    case erl_scan:string(unicode:characters_to_list(Text)) of
        {ok, Tokens, _} -> Tokens;
        {error, _, _} -> lists:append([tokens(Line) || Line <- lines(Text)])
    end.

lines(Text) ->
    case string:split(Text, "\n", all) of
        [_] -> [];
        Lines -> Lines
    end.

%% What is called as `m:f(...)', named as `m:f/1', or applied as `m, f, [...]'.
calls([{atom, _, M}, {':', _}, {atom, _, F}, {'(', _} | Rest]) ->
    [{M, F, arity(Rest)} | calls(Rest)];
calls([{atom, _, M}, {':', _}, {atom, _, F}, {'/', _}, {integer, _, A} | Rest]) ->
    [{M, F, A} | calls(Rest)];
calls([{atom, _, M}, {',', _}, {atom, _, F}, {',', _}, {'[', _} | Rest]) ->
    [{M, F, arity(Rest)} | calls(Rest)];
calls([_ | Rest]) ->
    calls(Rest);
calls([]) ->
    [].

%% How many there are before what was opened is closed.
arity([{Close, _} | _]) when Close =:= ')'; Close =:= ']' -> 0;
arity(Tokens) -> arity(Tokens, 0, 1).

%% `fun name/1' has no end.
arity([{'fun', _}, {'(', _} | Rest], Depth, N) ->
    arity(Rest, Depth + 2, N);
arity([{'fun', _}, {var, _, _}, {'(', _} | Rest], Depth, N) ->
    arity(Rest, Depth + 2, N);
arity([{Token, _} | Rest], Depth, N) ->
    case {lists:member(Token, opening()), lists:member(Token, ['end', ')', ']', '}', '>>'])} of
        {true, _} -> arity(Rest, Depth + 1, N);
        {_, true} when Depth =:= 0 -> N;
        {_, true} -> arity(Rest, Depth - 1, N);
        _ when Token =:= ',', Depth =:= 0 -> arity(Rest, Depth, N + 1);
        _ -> arity(Rest, Depth, N)
    end;
arity([_ | Rest], Depth, N) ->
    arity(Rest, Depth, N);
arity([], _, _) ->
    none.

opening() ->
    ['(', '[', '{', '<<', 'case', 'begin', 'try', 'receive', 'if'].

missing(Text) ->
    Flat = unicode:characters_to_binary(Text),
    [{M, F} || M <- modules(), F <- lists:usort([F || {F, _} <- public(M)]),
               not is_called(Flat, M, F)].

%% As `m:f(', or `m, f, ' where it is applied.
is_called(Text, M, F) ->
    Names = [io_lib:format("~p:~p[(/]", [M, F]), io_lib:format("\\b~p, ~p,", [M, F])],
    lists:any(fun(Pattern) -> re:run(Text, Pattern, [{capture, none}]) =:= match end, Names).

%%% What there is

public(Module) ->
    {module, Module} = code:ensure_loaded(Module),
    Source = source(Module),
    [{F, A} || {F, A} <- Module:module_info(exports), F =/= module_info, F =/= behaviour_info,
               not is_private(Source, F)].

%% The comment before its specification says so.
is_private(Source, F) ->
    comment(Source, F, "@private").

is_described(Source, F) ->
    comment(Source, F, "@doc") orelse comment(Source, F, "@equiv").

comment(Source, F, Tag) ->
    Pattern = io_lib:format("%% ~s\\b[^\\n]*\\n(%%[^\\n]*\\n)*-spec ~s\\(",
                            [Tag, re_name(io_lib:format("~p", [F]))]),
    re:run(Source, Pattern, [{capture, none}]) =:= match.

re_name(Name) ->
    re:replace(Name, "[.*+?^$()]", "\\\\&", [global, {return, list}]).

source(Module) ->
    [File] = filelib:wildcard(glob(Module)),
    {ok, Text} = file:read_file(File),
    Text.

glob(Module) ->
    filename:join([py_docs_SUITE:root(), "erl", "**", atom_to_list(Module) ++ ".erl"]).

suites() ->
    [Text || File <- filelib:wildcard(filename:join([py_docs_SUITE:root(), "test/ct", "*.erl"])),
             filename:basename(File) =/= ?MODULE_STRING ++ ".erl",
             {ok, Text} <- [file:read_file(File)]].

%% The blocks of these languages in the guides that are run, each a case there.
examples(Languages) ->
    [Lines || Case <- py_docs_SUITE:all(),
              {Language, Lines} <- py_docs_SUITE:examples(Case),
              lists:member(binary_to_list(Language), Languages)].

%%% Python

names() ->
    {ok, Names} = py:eval("sorted(__import__('erlang').__all__)"),
    true = length(Names) > 50,
    Names.

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 1}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

%% By a text of its own: a class whose text is its base's has none.
python_is_described(_) ->
    Code = "[n for n in __import__('erlang').__all__ "
           "if not (vars(getattr(__import__('erlang'), n)).get('__doc__') "
           "if isinstance(getattr(__import__('erlang'), n), type) "
           "else getattr(__import__('erlang'), n).__doc__)]",
    ?assertEqual({ok, []}, py:eval(Code)).

python_has_examples(_) ->
    Text = unicode:characters_to_binary(examples(["erlang", "python"])),
    ?assertEqual([], [Name || Name <- names(),
                              re:run(Text, ["erlang\\.", Name, "\\b"], [{capture, none}])
                                  =:= nomatch]).
