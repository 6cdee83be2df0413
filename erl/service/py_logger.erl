%% SPDX-License-Identifier: Apache-2.0
%% @doc Python's `logging' through Erlang's `logger'.
%%
%% `configure/1' gives the root logger of Python an `erlang.ErlangHandler' and a
%% level, in every context there is and in those to come.  What is below the level
%% ends in Python, at the cost of a comparison.
-module(py_logger).

-export([configure/0, configure/1]).
-export([service_put/1]).

-export_type([options/0]).

-include("../port/py_wire.hrl").

%% How long contexts that are busy are waited for.
-define(WAIT_MS, 5000).

-type options() :: #{level => py_log_level:setting(), context => pid(), pool => atom(),
                     runtime => atom()}.
%% At most one of `context', `pool' and `runtime'.

%% @doc All contexts, with the primary level of Erlang's `logger'.
-spec configure() -> ok | {error, term()}.
configure() ->
    configure(#{}).

%% @doc The contexts that the options name (without a name all), from this level
%% on.  Contexts that are busy for more than some seconds are configured when they
%% no longer are.
-spec configure(options()) -> ok | {error, term()}.
configure(Options) when is_map(Options) ->
    case checked(maps:to_list(Options), all, primary()) of
        {ok, Scope, Level} -> configure(Scope, Level);
        {error, _} = Error -> Error
    end;
configure(Options) ->
    {error, {invalid, options, Options}}.

primary() ->
    #{level := Level} = logger:get_primary_config(),
    Level.

checked([], Scope, Level) ->
    {ok, Scope, Level};
checked([{level, Level} | Rest], Scope, _) ->
    case lists:member(Level, levels()) of
        true -> checked(Rest, Scope, Level);
        false -> {error, {invalid, level, Level}}
    end;
checked([{context, Context} | Rest], all, Level) when is_pid(Context) ->
    checked(Rest, {context, Context}, Level);
checked([{Key, Name} | Rest], all, Level) when is_atom(Name), Key =:= pool;
                                               is_atom(Name), Key =:= runtime ->
    checked(Rest, {Key, Name}, Level);
checked([{Key, Value} | _], _, _) ->
    {error, {invalid, Key, Value}}.

levels() ->
    [all, debug, info, notice, warning, error, critical, alert, emergency, none].

configure(Scope, Level) ->
    case contexts(Scope) of
        {ok, Contexts} -> configure(Scope, Level, Contexts);
        {error, _} = Error -> Error
    end.

%% A level that is kept for a context goes with it, so there must be one.
contexts({context, Context}) ->
    case py_registry:find(Context) of
        gone when node(Context) =/= node() -> {error, {remote, node(Context)}};
        gone -> {error, {context_died, noproc}};
        _ -> unless_denied(py_context:info(Context), Context)
    end;
contexts(_) ->
    {ok, py_registry:contexts()}.

%% Strangers log as Python does anywhere.
unless_denied({ok, #{sandbox := #{level := trusted}}}, Context) -> {ok, [Context]};
unless_denied({ok, _}, _) -> {error, {denied, log}};
unless_denied({error, _} = Error, _) -> Error.

configure(Scope, Level, Contexts) ->
    try gen_server:call(py_observer, {log_level, Scope, Level}, infinity) of
        ok -> apply_to(Contexts)
    catch
        exit:_ -> {error, not_started}
    end.

apply_to(Contexts) ->
    Runs = [spawn_monitor(fun() -> configure_one(Context) end) || Context <- Contexts],
    Deadline = py_request:deadline(?WAIT_MS),
    lists:foreach(fun({_, Mon}) ->
                          receive
                              {'DOWN', Mon, process, _, _} -> ok
                          after py_request:left(Deadline) ->
                              erlang:demonitor(Mon, [flush])
                          end
                  end, Runs).

%% It says the level that counts by then.
configure_one(Context) ->
    case py_context:info(Context) of
        {ok, #{id := Id, runtime := Runtime, sandbox := #{level := trusted}}} ->
            case py_log_level:of_context(Context, Id, Runtime) of
                default -> ok;
                Level ->
                    Term = {<<"erlang._logging">>, <<"_configure">>,
                            [py_log_level:number(Level)], #{}},
                    py_caller:run(Context, ?FRAME_CALL, 0, Term, infinity, {stream, 1, pair})
            end;
        _ ->
            ok
    end.

%%% The service

%% @private Python logs a record.
-spec service_put([term()]) -> true.
service_put([Number, Text, About]) when is_binary(Text), is_map(About) ->
    Level = py_log_level:level(Number),
    case logger:allow(Level, ?MODULE) of
        true -> logger:log(Level, "~ts", [py_shown:text(Text)], meta(About));
        false -> ok
    end,
    true.

%% No atom comes from Python: the keys are ours.
meta(About) ->
    Meta = #{context => py_callback:context(),
             file => unicode:characters_to_list(text(maps:get(<<"file">>, About, <<>>))),
             line => number(maps:get(<<"line">>, About, 0)),
             python_function => text(maps:get(<<"function">>, About, <<>>)),
             python_logger => text(maps:get(<<"logger">>, About, <<>>)),
             python_thread => text(maps:get(<<"thread">>, About, <<>>))},
    case About of
        #{<<"time">> := Time} when is_integer(Time), Time > 0, Time < 1 bsl 60 ->
            Meta#{time => Time};
        _ ->
            Meta
    end.

text(Text) when is_binary(Text) ->
    py_shown:text(Text);
text(_) ->
    <<>>.

number(N) when is_integer(N) -> N;
number(_) -> 0.
