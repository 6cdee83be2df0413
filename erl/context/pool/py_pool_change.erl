%% SPDX-License-Identifier: Apache-2.0
%% @doc A pool changes while it serves: its contexts get fresh helpers one after
%% the other, perhaps with other options or another runtime.  Runs in the process
%% that asks for it.
-module(py_pool_change).

-export([change/2, options/1]).

%% @doc From now on the pool has the options that the function makes of those
%% it was given, and fresh helpers.  One change at a time for each pool.
-spec change(py_pools:name(), fun((map()) -> map())) -> ok | {error, term()}.
change(Name, Change) ->
    global:trans({{?MODULE, Name}, self()}, fun() -> changed(Name, Change) end, [node()]).

changed(Name, Change) ->
    case options(Name) of
        {ok, Given} ->
            case py_pool:spec(Change(Given)) of
                {ok, Spec} -> renew_all(Name, py_pools:ask({change, Name, Spec}));
                {error, _} = Error -> Error
            end;
        {error, _} = Error ->
            Error
    end.

renew_all(Name, {ok, Before, Steps}) ->
    case renew_each(Steps, []) of
        ok ->
            ok;
        {error, Reason, Done} ->
            {ok, Back} = py_pools:ask({restore, Name, Before}),
            _ = renew_each([Step || {Context, _} = Step <- Back, lists:member(Context, Done)], []),
            {error, Reason}
    end;
renew_all(_, {error, _} = Error) ->
    Error.

%% One that was stopped meanwhile has been replaced with the new options.
renew_each([], _) ->
    ok;
renew_each([{Context, Options} | Rest], Done) ->
    case py_caller:renew(Context, Options) of
        {error, {context_died, _}} -> renew_each(Rest, Done);
        {error, Reason} -> {error, Reason, Done};
        ok -> renew_each(Rest, [Context | Done])
    end.

%% @doc The options that a pool was given.
-spec options(py_pools:name()) -> {ok, map()} | {error, term()}.
options(Name) ->
    py_pools:ask({options, Name}).
