%% SPDX-License-Identifier: Apache-2.0
%% @doc A process waits because Python asked it to.
%%
%% Whatever it waits for, the wait has to end early when the helper dies, and
%% when Python does not want it any more (an interrupt, a coroutine that was
%% cancelled).  For that Python gives each wait a token, and the wait stands in
%% the registry under it: whoever takes it from there sends `{Ref, cancelled}'
%% to who waits, exactly once.
-module(py_wait).

-export([enter/2, enter/3, leave/2, left/1, cancel/1, abandon/1, services/0]).

-export_type([wait/0]).

%% A wait that was cancelled before it began is remembered so long.
-define(REMEMBER_MS, 5000).
%% And so many of each helper.  What is cancelled before it begins has been overtaken on
%% the way: there are few of them.
-define(REMEMBER, 1000).
%% Who took the wait sends at once.
-define(ON_ITS_WAY_MS, 5000).

-opaque wait() :: none | {port(), Token :: term(), reference(), Monitor :: reference()}.

%% @doc Begin to wait under this token.  From now on `{Ref, cancelled}' or
%% `{Ref, _, _, _, _}' may come, which mean: stop waiting.  Without a token,
%% or outside of a call by Python, nothing comes.
-spec enter(reference(), term()) -> wait().
enter(Ref, Token) ->
    enter(py_callback:port(), Ref, Token).

%% @doc The same in a process that waits for a call by this helper.
-spec enter(port() | undefined, reference(), term()) -> wait().
enter(Port, _, Token) when Port =:= undefined; Token =:= none ->
    none;
enter(Port, Ref, Token) ->
    Monitor = erlang:monitor(port, Port, [{tag, Ref}]),
    case py_waits:enter(Port, Token, {self(), Ref}) of
        true -> ok;
        false -> cancelled_before(Port, Token, Ref)
    end,
    {Port, Token, Ref, Monitor}.

cancelled_before(Port, Token, Ref) ->
    _ = py_waits:take(Port, Token),
    _ = self() ! {Ref, cancelled},
    ok.

%% @doc It is over, perhaps because it was cancelled; nothing of it comes any
%% more.  To be called once.
-spec leave(wait(), cancelled | term()) -> ok.
leave(none, _) ->
    ok;
leave({Port, Token, Ref, Monitor}, Outcome) ->
    true = erlang:demonitor(Monitor, [flush]),
    case py_waits:take(Port, Token) of
        none when Outcome =/= cancelled -> taken(Ref);
        _ -> ok
    end.

%% Somebody else took it and sends, or has sent.
taken(Ref) ->
    receive
        {Ref, cancelled} -> ok
    after ?ON_ITS_WAY_MS -> ok
    end.

%% @doc How long to wait: never longer than the request may take.
-spec left(timeout()) -> timeout().
left(Timeout) ->
    min(Timeout, py_request:left(py_callback:deadline())).

%% @doc End the wait with this token of the helper that calls; if it has not
%% begun yet, it ends when it does.
-spec cancel(term()) -> ok.
cancel(Token) ->
    cancel(py_callback:port(), Token).

cancel(undefined, _) ->
    ok;
cancel(Port, Token) ->
    case py_waits:take(Port, Token) of
        {ok, {Pid, Ref}} -> tell(Pid, Ref);
        {ok, early} -> ok;
        none -> early(Port, Token)
    end.

tell(Pid, Ref) ->
    _ = Pid ! {Ref, cancelled},
    ok.

early(Port, Token) ->
    case py_waits:enter_early(Port, Token, ?REMEMBER) of
        true ->
            _ = spawn(fun() -> forget(Port, Token) end),
            ok;
        false ->
            cancel(Port, Token);
        full ->
            ok % it lasts as long as it would have
    end.

forget(Port, Token) ->
    Monitor = erlang:monitor(port, Port),
    receive
        {'DOWN', Monitor, _, _, _} -> ok
    after ?REMEMBER_MS -> ok
    end,
    _ = py_waits:take(Port, Token),
    py_waits:drop_early(Port).

%% @doc The helper is gone: nobody waits for it any more.
-spec abandon(port()) -> ok.
abandon(Port) ->
    lists:foreach(fun(Token) ->
                          case py_waits:take(Port, Token) of
                              {ok, {Pid, Ref}} -> tell(Pid, Ref);
                              _ -> ok
                          end
                  end, py_waits:all(Port)).

%% @doc What Python calls.  Its tokens are numbers; strangers may say anything.
-spec services() -> [{py_registry:function_key(), fun(([term()]) -> term())}].
services() ->
    [{{<<"wait">>, <<"cancel">>},
      fun([Token]) when is_integer(Token), Token > 0, Token < 1 bsl 64 -> cancel(Token) end}].
